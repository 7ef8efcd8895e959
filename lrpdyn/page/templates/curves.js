// The Bokeh figures: their data, their cursor and their colours.

Bokeh.set_log_level("warn");

class Figures {
  constructor(kind, count) {
    Object.assign(this, { kind, count, document: null });
  }

  async show(item, target, onTap) {
    const before = new Set(Bokeh.documents);
    await Bokeh.embed.embed_item(item, target);
    this.document = Bokeh.documents.find((one) => !before.has(one));
    for (let i = 0; i < this.count; i++) {
      this.model(i).on_event("tap", (event) => onTap(event.x));
    }
    this.recolour();
  }

  model(place, part = "") {
    return this.document.get_model_by_name(`${this.kind}-${place}${part}`);
  }

  // One line stands out among the others; the marked of its points are diamonds.
  fill(place, steps, every, one, marked) {
    this.model(place, "-all").data = { xs: every.map(() => steps), ys: every };
    this.model(place, "-one").data = { x: steps, y: one };
    const at = steps.map((step, i) => i).filter((i) => marked.has(steps[i]));
    this.model(place, "-marks").data = { x: at.map((i) => steps[i]), y: at.map((i) => one[i]) };
  }

  move(step) {
    if (this.document) this.document.get_model_by_name("cursor").location = step;
  }

  recolour() {
    if (!this.document) return;
    const style = getComputedStyle(document.body);
    const probe = document.createElement("i");
    document.body.append(probe);
    const of = (name) => {
      probe.style.color = `var(--${name})`;
      return getComputedStyle(probe).color;
    };
    const [soft, rule, accent, flag] = ["soft", "rule", "accent", "flag"].map(of);
    probe.remove();
    for (let i = 0; i < this.count; i++) {
      const figure = this.model(i);
      figure.title.text_color = style.color;
      for (const axis of [...figure.below, ...figure.left]) {
        axis.major_label_text_color = soft;
        axis.axis_line_color = axis.major_tick_line_color = rule;
      }
      for (const grid of figure.center) grid.grid_line_color = grid.dimension === 1 ? rule : null;
      this.model(i, "-line").glyph.line_color = accent;
      this.model(i, "-diamonds").glyph.fill_color = flag;
    }
    this.document.get_model_by_name("cursor").line_color = style.color;
  }
}

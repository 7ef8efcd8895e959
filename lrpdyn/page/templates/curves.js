// The Bokeh figures: their data, their cursor and their colours.

Bokeh.set_log_level("warn");

// Figures do nothing by key (the table has their numbers), and so are no stop of the Tab key.
const passOver = (root) => {
  for (const one of root.querySelectorAll("*")) {
    if (one.tabIndex === 0) one.tabIndex = -1;
    if (one.shadowRoot) passOver(one.shadowRoot);
  }
};

class Figures {
  constructor(target, onTap) {
    Object.assign(this, { target, onTap, documents: [] });
  }

  // Draw one figure after the other; between them the page answers to what a person does.
  async show(items, fill) {
    for (const item of items) {
      const place = document.createElement("div");
      this.target.append(place);
      const before = new Set(Bokeh.documents);
      await Bokeh.embed.embed_item(item, place);
      passOver(place);
      const found = Bokeh.documents.find((one) => !before.has(one));
      this.documents.push(found);
      const figure = found.get_model_by_name("figure");
      figure.on_event("tap", (event) => this.onTap(event.x));
      figure.below[0].formatter.doFormat = (ticks) => ticks.map(short);
      fill(this.documents.length - 1);
      this.recolour(found);
      await new Promise((resolve) => setTimeout(resolve));
    }
  }

  // One line stands out among the others; the marked of its points are diamonds.
  fill(figure, steps, every, one, marked) {
    const set = (name, data) => { this.documents[figure].get_model_by_name(name).data = data; };
    const at = steps.map((_, i) => i).filter((i) => marked.has(steps[i]));
    set("all", { xs: every.map(() => steps), ys: every });
    set("one", { x: steps, y: one });
    set("marks", { x: at.map((i) => steps[i]), y: at.map((i) => one[i]) });
  }

  move(step) {
    for (const found of this.documents) found.get_model_by_name("cursor").location = step;
  }

  recolour(found) {
    const probe = document.createElement("i");
    root.append(probe);
    const [ink, soft, rule, accent, flag] = ["ink", "soft", "rule", "accent", "flag"].map((name) => {
      probe.style.color = `var(--${name})`;
      return getComputedStyle(probe).color;
    });
    probe.remove();
    const figure = found.get_model_by_name("figure");
    figure.title.text_color = ink;
    for (const axis of [...figure.below, ...figure.left]) {
      axis.major_label_text_color = soft;
      axis.axis_line_color = axis.major_tick_line_color = rule;
    }
    for (const grid of figure.center) grid.grid_line_color = grid.dimension === 1 ? rule : null;
    found.get_model_by_name("line").glyph.line_color = accent;
    found.get_model_by_name("diamonds").glyph.fill_color = flag;
    found.get_model_by_name("cursor").line_color = ink;
  }
}

// The page as a whole: what is shown, and everything in step with it.

const place = new Map(data.steps.map((step, i) => [step, i]));

class Page {
  constructor() {
    this.state = { place: data.kept.length - 1, chosen: 0, view: "relevance", scale: "run", opacity: 0.65,
      channel: byId("channel")?.value, pin: { sample: 0, pixel: 0 } };
    this.tip = byId("tip");
    this.enlarged = new Enlarged(this);
    this.cards = [...root.querySelectorAll(".card")].map((card, i) => new Card(card, i, this));
    const jump = (step) => this.goTo(data.kept.indexOf(nearest(step)));
    this.curves = new Figures(byId("curve-figures"), jump);
    this.history = new Figures(byId("history-figures"), jump);
    this.keys = new Keys();
    this.player = new Player(this);
    this.samples = new Samples(this);
    this.address = new Address(this);
    this.settings();
    this.findings();
    this.theme();
  }

  // The place of the current step among all steps, of which some may have no picture.
  row() {
    return place.get(data.kept[this.state.place]);
  }

  // The channel of the observation that is shown: its number among the choices.
  channel() {
    return Number(this.state.channel ?? 0);
  }

  isFlagged(sample) {
    const step = data.kept[this.state.place];
    return data.flaggedCells.some(([at, flagged]) => at === step && flagged === data.samples[sample]);
  }

  async start() {
    // Browsers keep what was chosen before a reload; the address has it.
    root.querySelectorAll("#maps select").forEach((field) => { field.selectedIndex = usual(field); });
    const isLinked = isPage && this.address.restore();
    const { chosen } = this.state;
    const bytes = await views.dynamics.bytes(0, chosen);
    this.state.pin = { sample: chosen, pixel: bytes.reduce((best, byte, i) => (byte > bytes[best] ? i : best), 0) };
    await this.goTo(this.state.place, false);
    this.address.open = isPage || isFrame;
    const how = performance.getEntriesByType("navigation")[0]?.type;
    if (isLinked && how === "navigate") this.cards[chosen].element.scrollIntoView({ block: "center" });
    root.dataset.ready = "maps";
    await new Promise(requestAnimationFrame); // pictures first
    await this.curves.show(read("curve-items"), (figure) => this.fillCurve(figure));
    await this.history.show(read("history-items"), (figure) => this.fillHistory(figure));
    root.dataset.ready = "all";
  }

  async goTo(wanted, aloud = true) {
    const at = Math.min(this.player.last, Math.max(0, wanted));
    this.state.place = at;
    const step = data.kept[at];
    const isFlagged = data.flagged.includes(step);
    this.player.slider.value = at;
    this.player.slider.setAttribute("aria-valuetext", `step ${whole(step)}${isFlagged ? ", flagged" : ""}`);
    byId("now").textContent = `${isFlagged ? "⚑ " : ""}${whole(step)}`;
    this.address.write();
    this.samples.settle();
    byId("now-of").textContent = `${data.stepUnit}, ${at + 1} of ${data.kept.length}`;
    this.moveCursors();
    await this.draw();
    if (aloud) {
      const score = data.series.find((one) => one.name === "score")?.values[this.row()][this.state.chosen];
      this.say(`step ${whole(step)}, sample ${data.samples[this.state.chosen]}: score ${number(score)}`);
    }
  }

  moveCursors() {
    const step = data.kept[this.state.place];
    this.curves.move(step);
    this.history.move(step);
  }

  async draw() {
    const view = views[this.state.view];
    paintBar(byId("bar"), view);
    const own = this.state.scale === "map";
    byId("bar-low").textContent = own ? (view.signed ? "−largest" : "0") : number(view.signed ? -view.limit : 0);
    byId("bar-high").textContent = own ? "largest" : number(view.limit);
    byId("bar-note").textContent = own ? "Each map has its own scale." : `One scale for all: ${view.note}`;
    await Promise.all(this.cards.map((card) => card.draw()));
  }

  // After another state was taken from the address.
  showAll() {
    this.goTo(this.state.place, false);
    this.choose(this.state.chosen);
    this.samples.reveal(this.state.chosen);
  }

  say(text) {
    byId("said").textContent = text;
  }

  choose(sample) {
    this.state.chosen = sample;
    this.address.write();
    this.fillCurves();
    this.fillTable();
    this.draw();
  }

  async pin(sample, pixel) {
    this.state.pin = { sample, pixel };
    if (this.state.chosen !== sample) this.choose(sample);
    else this.draw();
    await Promise.all(this.history.documents.map((_, figure) => this.fillHistory(figure)));
  }

  fillCurves() {
    this.curves.documents.forEach((_, figure) => this.fillCurve(figure));
  }

  fillCurve(figure) {
    const { chosen, place: at } = this.state;
    const name = data.samples[chosen];
    byId("curves-words").textContent = data.samples.length > 1
      ? `Strong: sample ${name}; grey: the others.` : "";
    const series = data.series[figure];
    const cells = data.flaggedCells.filter(([, sample]) => sample === name).map(([step]) => step);
    const marked = { change: [...data.flaggedSteps, ...cells], change_median: data.flaggedSteps }[series.name] ?? [];
    const of = (sample) => series.values.map((row) => row[sample] ?? NaN);
    const others = data.samples.map((_, n) => n).filter((n) => n !== chosen);
    this.curves.fill(figure, data.steps, others.map(of), of(chosen), new Set(marked));
    this.curves.move(data.kept[at]);
  }

  async fillHistory(figure) {
    const { sample, pixel } = this.state.pin;
    byId("history-words").textContent =
      `Sample ${data.samples[sample]}, ${pixelName(pixel)}. ${flat ? "Click a bar" : "Click a pixel of a map"} for another.`;
    const view = views[["relevance", "change"][figure]];
    const values = await Promise.all(data.kept.map((_, at) => this.cards[sample].valueAt(view, at, pixel)));
    if (this.state.pin.sample !== sample || this.state.pin.pixel !== pixel) return;
    // A sample that has no picture at a step leaves no gap in its line.
    const at = data.kept.map((_, k) => k).filter((k) => values[k] !== null);
    this.history.fill(figure, at.map((k) => data.kept[k]), [], at.map((k) => values[k]), new Set());
    this.history.move(data.kept[this.state.place]);
    this.history.target.dataset[view.name] = `${sample} ${pixel}`;
  }

  fillTable() {
    const details = byId("numbers");
    if (!details.open) return;
    const row = (cells, kind) => {
      const tr = document.createElement("tr");
      cells.forEach((text) => {
        const cell = document.createElement(kind);
        cell.textContent = text;
        if (kind === "td") cell.className = "number";
        tr.append(cell);
      });
      return tr;
    };
    const table = details.querySelector("table");
    const head = document.createElement("thead");
    const body = document.createElement("tbody");
    head.append(row(["step", data.outputUnit, ...data.series.map((one) => one.name.replaceAll("_", " "))], "th"));
    data.steps.forEach((step, i) => body.append(row([whole(step), data.units[i][this.state.chosen] ?? "–",
      ...data.series.map((one) => number(one.values[i][this.state.chosen]))], "td")));
    table.replaceChildren(head, body);
  }

  settings() {
    const on = (id, event, change) => byId(id)?.addEventListener(event, (e) => change(e.target));
    for (const name of SETTINGS) {
      on(name, "change", (field) => {
        this.state[name] = field.value;
        this.address.write();
        this.draw();
      });
    }
    on("opacity", "input", (field) => {
      this.state.opacity = field.value / 100;
      byId("opacity-value").textContent = `${field.value} %`;
      this.draw();
    });
    on("numbers", "toggle", () => this.fillTable());
    root.addEventListener("pointerdown", (event) => {
      this.cards.filter((card) => !card.picture.contains(event.target)).forEach((card) => card.hover(null));
    });
    if (flat) window.addEventListener("resize", () => this.draw());
  }

  findings() {
    const rows = [...root.querySelectorAll("#findings tbody tr")];
    rows.forEach((row) => row.addEventListener("click", () => this.jump(row)));
    root.querySelectorAll(".phases li").forEach((item) =>
      item.addEventListener("click", () => this.goTo(data.kept.indexOf(nearest(Number(item.dataset.step))))));
    const kind = byId("kind");
    const filter = () => {
      rows.forEach((row) => { row.hidden = kind.value !== "" && row.dataset.kind !== kind.value; });
      byId("kind-count").textContent = `${rows.filter((row) => !row.hidden).length} shown`;
    };
    kind?.addEventListener("change", filter);
    if (kind) filter();
  }

  // Show the step, the sample and the pixel that a row of the table is about.
  async jump(row) {
    this.address.leave();
    root.querySelector("#findings tr.here")?.classList.remove("here");
    row.classList.add("here");
    const { step, sample, row: y, column: x } = row.dataset;
    const at = sample === undefined ? -1 : data.samples.indexOf(Number(sample));
    if (at >= 0 && x !== undefined) await this.pin(at, Number(y) * width + Number(x));
    else if (at >= 0) this.choose(at);
    await this.goTo(step === undefined ? this.state.place : data.kept.indexOf(nearest(Number(step))));
    if (at >= 0) this.samples.reveal(at);
    const target = at >= 0 ? this.cards[at].element : byId("maps");
    target.scrollIntoView({ block: at >= 0 ? "center" : "start" });
  }

  theme() {
    const button = byId("theme");
    const system = window.matchMedia("(prefers-color-scheme: dark)");
    this.showColours(system.matches);
    system.addEventListener("change", (event) => this.showColours(event.matches));
    button.addEventListener("click", () => this.showColours(button.getAttribute("aria-pressed") !== "true"));
  }

  showColours(dark) {
    (isPage ? document.documentElement : root).style.colorScheme = dark ? "dark" : "light";
    byId("theme").setAttribute("aria-pressed", dark);
    for (const figures of [this.curves, this.history]) figures.documents.forEach((one) => figures.recolour(one));
  }
}

new Page().start();

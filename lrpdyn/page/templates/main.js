// The page as a whole: what is shown, and everything in step with it.

const place = new Map(data.steps.map((step, i) => [step, i]));

class Page {
  constructor() {
    this.state = { place: data.kept.length - 1, chosen: 0, view: "relevance", scale: "run", opacity: 0.65,
      pin: { sample: 0, pixel: 0 } };
    this.cards = [...document.querySelectorAll(".card")].map((card, i) => new Card(card, i, this));
    const jump = (step) => this.goTo(data.kept.indexOf(nearest(step)));
    this.curves = new Figures(document.getElementById("curve-figures"), jump);
    this.history = new Figures(document.getElementById("history-figures"), jump);
    this.player = new Player(this);
    this.settings();
    this.findings();
    this.theme();
  }

  // The place of the current step among all steps, of which some may have no picture.
  row() {
    return place.get(data.kept[this.state.place]);
  }

  async start() {
    const bytes = await views.dynamics.bytes(0, 0);
    this.state.pin.pixel = bytes.reduce((best, byte, i) => (byte > bytes[best] ? i : best), 0);
    this.show("");
    await this.goTo(this.state.place, false);
    document.documentElement.dataset.ready = "maps";
    await new Promise(requestAnimationFrame); // pictures first
    await this.curves.show(read("curve-items"), (figure) => this.fillCurve(figure));
    await this.history.show(read("history-items"), (figure) => this.fillHistory(figure));
    document.documentElement.dataset.ready = "all";
  }

  async goTo(wanted, aloud = true) {
    const at = Math.min(this.player.last, Math.max(0, wanted));
    this.state.place = at;
    const step = data.kept[at];
    const isFlagged = data.flagged.includes(step);
    this.player.slider.value = at;
    this.player.slider.setAttribute("aria-valuetext", `step ${whole(step)}${isFlagged ? ", flagged" : ""}`);
    document.getElementById("now").textContent = `${isFlagged ? "⚑ " : ""}${whole(step)}`;
    document.getElementById("now-of").textContent = `${data.stepUnit}, ${at + 1} of ${data.kept.length}`;
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
    paintBar(document.getElementById("bar"), view);
    const own = this.state.scale === "map";
    document.getElementById("bar-low").textContent = own ? (view.signed ? "−largest" : "0") : number(view.signed ? -view.limit : 0);
    document.getElementById("bar-high").textContent = own ? "largest" : number(view.limit);
    document.getElementById("bar-note").textContent = own ? "Each map has its own scale." : `One scale for all: ${view.note}`;
    await Promise.all(this.cards.map((card) => card.draw()));
  }

  // What is under the pointer; without one, how to ask.
  show(words) {
    document.getElementById("readout").textContent = words
      || `Point at a ${flat ? "bar" : "pixel"} for its values, click it for its history.`;
  }

  say(text) {
    document.getElementById("said").textContent = text;
  }

  choose(sample) {
    this.state.chosen = sample;
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
    document.getElementById("curves-words").textContent = data.samples.length > 1
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
    document.getElementById("history-words").textContent =
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
    const details = document.getElementById("numbers");
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
    const on = (id, event, change) => document.getElementById(id)?.addEventListener(event, (e) => change(e.target));
    on("view", "change", (field) => { this.state.view = field.value; this.draw(); });
    on("scale", "change", (field) => { this.state.scale = field.value; this.draw(); });
    on("opacity", "input", (field) => {
      this.state.opacity = field.value / 100;
      document.getElementById("opacity-value").textContent = `${field.value} %`;
      this.draw();
    });
    on("numbers", "toggle", () => this.fillTable());
    if (flat) window.addEventListener("resize", () => this.draw());
  }

  findings() {
    const rows = [...document.querySelectorAll("#findings tbody tr")];
    rows.forEach((row) => row.addEventListener("click", () => this.jump(row)));
    document.querySelectorAll(".phases li").forEach((item) =>
      item.addEventListener("click", () => this.goTo(data.kept.indexOf(nearest(Number(item.dataset.step))))));
    const kind = document.getElementById("kind");
    const filter = () => {
      rows.forEach((row) => { row.hidden = kind.value !== "" && row.dataset.kind !== kind.value; });
      document.getElementById("kind-count").textContent = `${rows.filter((row) => !row.hidden).length} shown`;
    };
    kind?.addEventListener("change", filter);
    if (kind) filter();
  }

  // Show the step, the sample and the pixel that a row of the table is about.
  async jump(row) {
    document.querySelector("#findings tr.here")?.classList.remove("here");
    row.classList.add("here");
    const { step, sample, row: y, column: x } = row.dataset;
    const at = sample === undefined ? -1 : data.samples.indexOf(Number(sample));
    if (at >= 0 && x !== undefined) await this.pin(at, Number(y) * width + Number(x));
    else if (at >= 0) this.choose(at);
    await this.goTo(step === undefined ? this.state.place : data.kept.indexOf(nearest(Number(step))));
    const target = at >= 0 ? this.cards[at].element : document.getElementById("maps");
    target.scrollIntoView({ block: at >= 0 ? "center" : "start" });
  }

  theme() {
    const button = document.getElementById("theme");
    const system = window.matchMedia("(prefers-color-scheme: dark)");
    const show = (dark) => {
      document.documentElement.style.colorScheme = dark ? "dark" : "light";
      button.setAttribute("aria-pressed", dark);
      for (const figures of [this.curves, this.history]) figures.documents.forEach((one) => figures.recolour(one));
    };
    show(system.matches);
    system.addEventListener("change", (event) => show(event.matches));
    button.addEventListener("click", () => show(button.getAttribute("aria-pressed") !== "true"));
  }
}

new Page().start();

// A card a sample: its picture, the pixel under the pointer, its numbers.

const { height, width } = data.observations;
const flat = data.observations.channels === 0;

class Card {
  constructor(element, sample, page) {
    Object.assign(this, { element, sample, page, pixel: null, drawn: 0 });
    this.picture = element.querySelector(".picture");
    this.canvas = element.querySelector("canvas");
    [this.cross, this.pinned] = element.querySelectorAll(".cross");
    this.absent = element.querySelector(".absent");
    this.numbers = [...element.querySelectorAll("[data-series]")];
    this.observation = flat ? null : unpacked(data.observations.pictures[sample]);
    element.querySelector(".pick").addEventListener("click", () => page.choose(sample));
    this.picture.addEventListener("pointermove", (event) => this.hover(this.at(event)));
    this.picture.addEventListener("pointerleave", () => this.hover(null));
    this.picture.addEventListener("click", (event) => page.pin(sample, this.at(event)));
    this.picture.addEventListener("keydown", (event) => this.key(event));
    this.picture.addEventListener("blur", () => this.hover(null));
  }

  // The pixel (or feature) under the pointer.
  at(event) {
    const box = this.canvas.getBoundingClientRect();
    const place = (offset, size, count) =>
      Math.min(count - 1, Math.max(0, Math.floor((offset / size) * count)));
    const column = place(event.clientX - box.left, box.width, width);
    return flat ? column : place(event.clientY - box.top, box.height, height) * width + column;
  }

  key(event) {
    const moves = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -width, ArrowDown: width };
    const pin = this.page.state.pin;
    const from = this.pixel ?? (pin.sample === this.sample ? pin.pixel : Math.floor((height * width) / 2));
    if (event.key === "Enter" || event.key === " ") {
      this.page.pin(this.sample, from);
    } else if (event.key in moves && !event.shiftKey && !event.ctrlKey && !event.metaKey && !event.altKey) {
      const move = from + moves[event.key];
      const wraps = Math.abs(moves[event.key]) === 1 && Math.floor(move / width) !== Math.floor(from / width);
      if (!wraps && move >= 0 && move < height * width) this.hover(move, true);
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  async hover(pixel, aloud = false) {
    this.pixel = pixel;
    this.mark(this.cross, pixel);
    const words = await this.values();
    if (pixel !== this.pixel) return; // the pointer went on meanwhile
    this.page.show(words);
    if (aloud) this.page.say(words);
  }

  mark(cross, pixel) {
    cross.hidden = pixel === null;
    if (pixel === null) return;
    const row = flat ? 0 : Math.floor(pixel / width);
    Object.assign(cross.style, {
      left: `${(100 * (pixel % width)) / width}%`, top: `${(100 * row) / height}%`,
      width: `${100 / width}%`, height: `${100 / height}%`,
    });
  }

  // The values of the pixel under the pointer, in words.
  async values() {
    const { place } = this.page.state;
    const pixel = this.pixel;
    if (pixel === null) return "";
    const parts = [];
    for (const [name, word] of [["relevance", "R"], ["change", "change"], ["dynamics", "dynamics"]]) {
      parts.push(`${word} ${number(await this.valueAt(views[name], place, pixel))}`);
    }
    parts.push(`seen ${number(await this.seen(pixel))}`);
    return `Sample ${data.samples[this.sample]}, ${pixelName(pixel)}: ${parts.join(", ")}`;
  }

  async valueAt(view, place, pixel) {
    const bytes = await view.bytes(place, this.sample);
    return bytes === null ? null : view.value(bytes[pixel], view.largest(place, this.sample));
  }

  async seen(pixel) {
    if (flat) return data.observations.values[this.sample][pixel];
    const { low, high, channels } = data.observations;
    const bytes = (await this.observation).subarray(pixel * channels, (pixel + 1) * channels);
    const mean = bytes.reduce((sum, byte) => sum + byte, 0) / channels;
    return low + (mean / 255) * (high - low);
  }

  async draw() {
    const { view: name, scale, opacity, place, pin, chosen } = this.page.state;
    const view = views[name];
    const turn = ++this.drawn;
    const [bytes, observation] = await Promise.all([view.bytes(place, this.sample), this.observation]);
    if (turn !== this.drawn) return; // another was asked for meanwhile
    this.absent.hidden = bytes !== null;
    this.absent.textContent = name === "change" && data.kept[place] === data.steps[0]
      ? "no change leads into the first step" : "no picture is kept of this sample at this step";
    if (bytes !== null) {
      const largest = view.largest(place, this.sample);
      const limit = scale === "map" ? largest || 1 : view.limit;
      if (flat) paintBars(this.canvas, view, bytes, largest, limit);
      else paintImage(this.canvas, observation, bytes, palette(view, largest, limit), opacity);
    } else if (!flat) {
      Object.assign(this.canvas, { width, height });
    }
    const at = this.page.row();
    for (const cell of this.numbers) {
      const series = data.series.find((one) => one.name === cell.dataset.series);
      cell.textContent = number(series?.values[at][this.sample]);
    }
    const unit = data.units[at][this.sample];
    this.element.querySelector(".unit").textContent = unit === null ? "" : `${data.outputUnit} ${unit}`;
    this.element.classList.toggle("chosen", chosen === this.sample);
    this.element.querySelector(".pick").setAttribute("aria-pressed", chosen === this.sample);
    this.mark(this.pinned, pin.sample === this.sample ? pin.pixel : null);
    this.picture.setAttribute("aria-label", this.words(view, bytes, place));
    if (this.pixel !== null) this.page.show(await this.values());
    this.canvas.dataset.step = data.kept[place];
  }

  // What a screen reader says of the picture.
  words(view, bytes, place) {
    const what = { relevance: "Relevance", change: "Change", dynamics: "Dynamics", net_change: "Net change" };
    const begin = `${what[view.name]} of sample ${data.samples[this.sample]}`;
    if (bytes === null) return `${begin}: no picture at this step`;
    let strongest = 0;
    for (let i = 1; i < bytes.length; i++) {
      if (Math.abs(bytes[i] - view.levels) > Math.abs(bytes[strongest] - view.levels)) strongest = i;
    }
    const value = view.value(bytes[strongest], view.largest(place, this.sample));
    const when = view.byStep ? ` at step ${whole(data.kept[place])}` : " of the whole run";
    return `${begin}${when}, strongest at ${pixelName(strongest)} with ${number(value)}`;
  }
}

const pixelName = (pixel) =>
  flat ? `feature ${pixel}` : `row ${Math.floor(pixel / width)}, column ${pixel % width}`;

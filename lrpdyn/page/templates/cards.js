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
    this.seenBytes = new Map();
    this.flag = element.querySelector(".flag");
    [this.enlarge, this.save] = element.querySelectorAll(".tool");
    element.querySelector(".pick").addEventListener("click", () => page.choose(sample));
    this.enlarge.addEventListener("click", () => page.enlarged.open(this));
    this.save.addEventListener("click", () => savePicture(this));
    for (const kind of ["pointerdown", "pointermove"]) {
      this.picture.addEventListener(kind, (event) => this.hover(this.at(event), event));
    }
    // A finger leaves at once: what it touched stays until it touches something else.
    this.picture.addEventListener("pointerleave", (event) => event.pointerType === "touch" || this.hover(null));
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

  // Say what the button does that enlarges the card, or makes it small again.
  name(isLarge) {
    const words = isLarge ? "Close" : "Enlarge";
    Object.assign(this.enlarge, { textContent: isLarge ? "✕" : "⤢", title: words });
    this.enlarge.setAttribute("aria-label", isLarge ? words : `${words} sample ${data.samples[this.sample]}`);
  }

  // The bytes of the observation, of the channel that is shown; of colours always all.
  observation() {
    const { pictures, channels } = data.observations;
    if (flat) return null;
    const at = channels === 3 ? 0 : this.page.channel();
    if (!this.seenBytes.has(at)) this.seenBytes.set(at, unpacked(pictures[at][this.sample]));
    return this.seenBytes.get(at);
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
      if (!wraps && move >= 0 && move < height * width) this.hover(move, null, true);
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  // Show the values of a pixel at the pointer, or, without one, at the pixel; null: of none.
  async hover(pixel, pointer = null, aloud = false) {
    this.pixel = pixel;
    this.pointer = pointer && { x: pointer.clientX, y: pointer.clientY };
    this.mark(this.cross, pixel);
    const lines = await this.values();
    if (pixel !== this.pixel) return; // the pointer went on meanwhile
    if (pixel === null) {
      if (this.page.tip.parentElement === this.element) this.page.tip.hidden = true;
      return;
    }
    this.tell(lines);
    if (aloud) this.page.say(lines.join(", "));
  }

  tell(lines) {
    const { tip } = this.page;
    tip.textContent = lines.join("\n");
    if (tip.parentElement !== this.element) this.element.append(tip);
    tip.hidden = false;
    const cross = this.cross.getBoundingClientRect();
    const { x, y } = this.pointer ?? { x: cross.right, y: cross.bottom };
    const [wide, high] = [tip.offsetWidth, tip.offsetHeight];
    tip.style.left = `${Math.max(4, x + 16 + wide > innerWidth ? x - wide - 12 : x + 16)}px`;
    tip.style.top = `${Math.max(4, y + 16 + high > innerHeight ? y - high - 12 : y + 16)}px`;
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

  // What there is to say of the pixel under the pointer, line by line.
  async values() {
    const { place } = this.page.state;
    const pixel = this.pixel;
    if (pixel === null) return [];
    const regions = await regionsAt(this.sample, pixel);
    const lines = [
      `${pixelName(pixel)}${regions.length ? `: ${regions.join(", ")}` : ""}`,
      `${stepName(data.kept[place])}, sample ${data.samples[this.sample]}`,
    ];
    for (const [name, word] of [["relevance", "R"], ["change", "change"], ["dynamics", "dynamics"]]) {
      lines.push(`${word} ${number(await this.valueAt(views[name], place, pixel))}`);
    }
    lines.push(`seen ${number(await this.seen(pixel))}`);
    return lines;
  }

  async valueAt(view, place, pixel) {
    const bytes = await view.bytes(place, this.sample);
    return bytes === null ? null : view.value(bytes[pixel], view.largest(place, this.sample));
  }

  async seen(pixel) {
    if (flat) return data.observations.values[this.sample][pixel];
    const { low, high, channels } = data.observations;
    const channel = this.page.channel();
    const bytes = (await this.observation()).subarray(pixel * channels, (pixel + 1) * channels);
    const one = channels === 3 && channel > 0 ? bytes[channel - 1] : bytes.reduce((sum, byte) => sum + byte, 0) / channels;
    const range = channels === 3 ? 0 : channel;
    return low[range] + (one / 255) * (high[range] - low[range]);
  }

  async draw() {
    const { view: name, scale, opacity, place, pin, chosen } = this.page.state;
    const view = views[name];
    const turn = ++this.drawn;
    const [bytes, observation] = await Promise.all([view.bytes(place, this.sample), this.observation()]);
    if (turn !== this.drawn) return; // another was asked for meanwhile
    this.absent.hidden = bytes !== null;
    this.absent.textContent = name === "change" && data.kept[place] === data.steps[0]
      ? "no change leads into the first step" : "no picture is kept of this sample at this step";
    if (bytes !== null) {
      const largest = view.largest(place, this.sample);
      const limit = scale === "map" ? largest || 1 : view.limit;
      if (flat) paintBars(this.canvas, view, bytes, largest, limit);
      else paintImage(this.canvas, observation, bytes, palette(view, largest, limit), opacity, this.page.channel());
    } else if (!flat) {
      Object.assign(this.canvas, { width, height });
    }
    const at = this.page.row();
    for (const cell of this.numbers) {
      const series = data.series.find((one) => one.name === cell.dataset.series);
      cell.textContent = number(series?.values[at][this.sample]);
    }
    const unit = data.units[at][this.sample];
    this.element.querySelector(".unit").textContent = unit === null ? "" : `${data.outputUnit} ${unitName(unit)}`;
    this.flag.classList.toggle("off", !this.page.isFlagged(this.sample));
    this.element.classList.toggle("chosen", chosen === this.sample);
    this.element.querySelector(".pick").setAttribute("aria-pressed", chosen === this.sample);
    this.mark(this.pinned, pin.sample === this.sample ? pin.pixel : null);
    this.picture.setAttribute("aria-label", this.words(view, bytes, place));
    const lines = await this.values();
    if (turn !== this.drawn) return;
    if (this.pixel !== null) this.tell(lines);
    this.canvas.dataset.step = data.kept[place];
  }

  // What the picture shows.
  what() {
    return { relevance: "relevance", change: "change", dynamics: "dynamics", net_change: "net change" }[this.page.state.view];
  }

  // What a screen reader says of the picture.
  words(view, bytes, place) {
    const what = this.what();
    const begin = `${what[0].toUpperCase()}${what.slice(1)} of sample ${data.samples[this.sample]}`;
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

// A number, and the name where it has one.
const named = (number, names) => (number in names ? `${number} (${names[number]})` : number);
const unitName = (unit) => named(unit, data.unitNames);

// The names of the regions in which a pixel lies; their masks are packed bits.
const regionsAt = async (sample, pixel) => {
  const bit = (bytes) => bytes[pixel >> 3] & (128 >> (pixel & 7));
  const found = await Promise.all(data.regions.map(async (region) => {
    const at = region.masks.length > 1 ? sample : 0;
    region.bytes ??= [];
    return bit(await (region.bytes[at] ??= unpacked(region.masks[at])));
  }));
  return data.regions.filter((_, i) => found[i]).map((region) => region.name);
};

const pixelName = (pixel) =>
  flat ? `feature ${named(pixel, data.featureNames)}` : `row ${Math.floor(pixel / width)}, column ${pixel % width}`;

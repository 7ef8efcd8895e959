// The slider, its buttons and keys: where in training the page is.

class Player {
  constructor(page) {
    Object.assign(this, { page, playing: false, shown: 0, element: root.querySelector(".player") });
    this.slider = byId("step");
    this.button = byId("play");
    this.last = data.kept.length - 1;
    this.slider.addEventListener("input", () => page.goTo(Number(this.slider.value)));
    this.button.addEventListener("click", () => this.toggle());
    byId("back").addEventListener("click", () => page.goTo(page.state.place - 1));
    byId("next").addEventListener("click", () => page.goTo(page.state.place + 1));
    byId("flagged")?.addEventListener("click", () => this.flagged(1));
    root.addEventListener("keydown", (event) => this.key(event));
    this.ticks();
  }

  ticks() {
    const ticks = byId("ticks");
    const add = (step, kind) => {
      const place = data.kept.indexOf(step);
      if (place < 0) return;
      const tick = document.createElement("i");
      tick.className = kind;
      tick.style.left = `${(100 * place) / Math.max(1, this.last)}%`;
      ticks.append(tick);
    };
    data.phases.slice(1).forEach((step) => add(nearest(step), "phase"));
    data.flagged.forEach((step) => add(step, "flag"));
  }

  // Go to the next flagged step, or (direction -1) the one before; round the end.
  flagged(direction) {
    const places = data.flagged.map((step) => data.kept.indexOf(step)).filter((place) => place >= 0);
    const now = this.page.state.place;
    const next = direction > 0
      ? places.find((place) => place > now) ?? places[0]
      : places.findLast((place) => place < now) ?? places.at(-1);
    if (next !== undefined) this.page.goTo(next);
  }

  toggle() {
    this.playing = !this.playing;
    this.button.textContent = this.playing ? "❚❚" : "▶";
    this.button.setAttribute("aria-label", this.playing ? "Pause" : "Play");
    if (!this.playing) {
      this.page.address.write();
      this.page.samples.settle();
      return;
    }
    if (this.page.state.place === this.last) this.page.goTo(0);
    this.shown = performance.now();
    requestAnimationFrame((now) => this.frame(now));
  }

  async frame(now) {
    if (!this.playing) return;
    const pause = 1000 / Number(byId("speed").value);
    if (now - this.shown >= pause) {
      this.shown = now;
      await this.page.goTo(this.page.state.place + 1, false);
      if (this.page.state.place === this.last) return this.toggle();
    }
    requestAnimationFrame((later) => this.frame(later));
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const on = event.target;
    const direction = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === "?") {
      this.page.keys.toggle();
      event.preventDefault();
    }
    if (on.closest("#keys")) return;
    if (on.closest("select") || (on.closest("input") && on !== this.slider)) return;
    if (event.shiftKey && direction) this.flagged(direction);
    else if (event.shiftKey) return;
    else if (event.key === " " && !on.closest("button, a, summary")) this.toggle();
    else if (on === this.slider || on.closest(".scroll")) return; // they move by themselves
    else if (direction) this.page.goTo(this.page.state.place + direction);
    else if (event.key === "Home") this.page.goTo(0);
    else if (event.key === "End") this.page.goTo(this.last);
    else return;
    event.preventDefault();
  }
}

// The step with pictures that is nearest to a number of steps.
const nearest = (step) =>
  data.kept.reduce((best, one) => (Math.abs(one - step) < Math.abs(best - step) ? one : best));

// The address of what is shown: "#step=800000&sample=2", and settings that differ from the first.
// A page within a frame has none: it tells the document around it instead, and is told by it.

const SETTINGS = ["view", "scale", "channel"];

class Address {
  constructor(page) {
    Object.assign(this, { page, timer: 0, open: false });
    byId("link").hidden = !isPage;
    byId("link").addEventListener("click", (event) => this.copy(event.currentTarget));
    window.addEventListener("popstate", () => this.restore() && page.showAll());
    window.addEventListener("message", ({ source, data: said }) => {
      if (!isFrame || source !== parent || typeof said !== "string") return;
      const wanted = new URLSearchParams(this.text.slice(1)); // settings stay
      for (const [name, value] of new URLSearchParams(said.slice(1))) wanted.set(name, value);
      if (wanted.has("dark")) page.showColours(wanted.get("dark") === "true");
      if (this.restore(`#${wanted}`)) page.showAll();
    });
  }

  get text() {
    const { state } = this.page;
    const parts = new URLSearchParams({ step: data.kept[state.place], sample: data.samples[state.chosen] });
    for (const name of SETTINGS) {
      const field = byId(name);
      if (field && field.selectedIndex !== usual(field)) parts.set(name, field.value);
    }
    return `#${parts}`;
  }

  // Soon, not at once, and not while playing: browsers allow few changes of an address in a time.
  write() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.page.player.playing || this.set("replaceState"), 200);
  }

  // A jump can be gone back from.
  leave() {
    clearTimeout(this.timer);
    this.set("replaceState");
    this.set("pushState");
  }

  set(how) {
    if (!this.open) return;
    if (isFrame) return parent.postMessage(this.text, "*");
    try {
      history[how](null, "", this.text);
    } catch {
      // A page within another has no address.
    }
  }

  // Take the state from the address; false where that has none.
  restore(text = location.hash) {
    const said = new URLSearchParams(text.slice(1));
    if (!said.has("step") && !said.has("sample")) return false;
    const { state } = this.page;
    const step = said.get("step");
    if (/^-?\d+$/.test(step ?? "")) state.place = data.kept.indexOf(nearest(Number(step)));
    const sample = data.samples.indexOf(/^\d+$/.test(said.get("sample") ?? "") ? Number(said.get("sample")) : -1);
    if (sample >= 0) state.chosen = sample;
    for (const name of SETTINGS) {
      const field = byId(name);
      if (!field) continue;
      const at = [...field.options].findIndex((option) => option.value === said.get(name));
      field.selectedIndex = at < 0 ? usual(field) : at;
      state[name] = field.value;
    }
    return true;
  }

  async copy(button) {
    this.set("replaceState");
    try {
      await navigator.clipboard.writeText(location.href);
      this.page.say("Link copied");
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy link"; }, 1500);
    } catch {
      window.prompt("The link to what is shown:", location.href);
    }
  }
}

const isFrame = !isPage && window.parent !== window;

// The place of the option that a page opens with.
const usual = (field) => Math.max(0, [...field.options].findIndex((option) => option.defaultSelected));

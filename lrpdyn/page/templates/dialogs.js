// A card enlarged, with the player below it; and the keys.

class Enlarged {
  constructor(page) {
    Object.assign(this, { page, dialog: byId("large"), moved: [] });
    this.dialog.addEventListener("close", () => this.putBack());
    onBackdrop(this.dialog);
  }

  // The card itself goes into the dialog, and an empty one of its size stays: nothing moves behind.
  open(card) {
    if (this.dialog.open) return this.dialog.close();
    this.card = card;
    this.dialog.setAttribute("aria-label", `Sample ${data.samples[card.sample]}, enlarged`);
    for (const element of [card.element, this.page.player.element]) {
      const stay = document.createElement("div");
      stay.style.height = `${element.offsetHeight}px`;
      element.replaceWith(stay);
      this.dialog.append(element);
      this.moved.push([element, stay]);
    }
    card.name(true);
    this.dialog.showModal();
    card.enlarge.focus();
    this.page.draw();
  }

  putBack() {
    for (const [element, stay] of this.moved) stay.replaceWith(element);
    this.moved = [];
    this.card.name(false);
    this.card.hover(null);
    this.card.enlarge.focus();
    this.page.draw();
    this.page.samples.arrange();
  }
}

// A click beside a dialog closes it.
const onBackdrop = (dialog) =>
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });

class Keys {
  constructor() {
    this.dialog = byId("keys");
    byId("keys-open").addEventListener("click", () => this.toggle());
    byId("keys-close").addEventListener("click", () => this.toggle());
    onBackdrop(this.dialog);
  }

  toggle() {
    if (this.dialog.open) this.dialog.close();
    else this.dialog.showModal();
  }
}

// Which samples are shown, and in which order.

class Samples {
  constructor(page) {
    Object.assign(this, { page, timer: 0, sort: byId("sort"), filter: byId("filter") });
    if (!this.sort) return; // of one sample there is no order
    const units = [...new Set(data.units.flat())].filter((unit) => unit !== null).sort((a, b) => a - b);
    for (const unit of units.length > 1 ? units : []) {
      this.filter.append(new Option(`${data.outputUnit} ${unitName(unit)} at this step`, `unit ${unit}`));
    }
    this.sort.addEventListener("change", () => this.arrange());
    this.filter.addEventListener("change", () => this.arrange());
  }

  // Once the steps stand still: cards that moved with each step could not be followed.
  settle() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.page.player.playing || this.arrange(), 400);
  }

  // A number by which samples rise; those without one come last.
  rank(sample) {
    const at = this.page.row();
    const value = data.series.find((one) => one.name === this.sort.value)?.values[at][sample];
    const flags = 2 * this.page.isFlagged(sample) + everFlagged(sample);
    return { number: sample, flag: -flags, unit: data.units[at][sample] ?? Infinity }[this.sort.value]
      ?? (typeof value === "number" ? -value : Infinity);
  }

  fits(sample) {
    const unit = data.units[this.page.row()][sample];
    return { all: true, here: this.page.isFlagged(sample), ever: everFlagged(sample) }[this.filter.value]
      ?? this.filter.value === `unit ${unit}`;
  }

  arrange() {
    const { cards, enlarged } = this.page;
    if (!this.sort || enlarged.dialog.open) return;
    const order = cards.map((card) => ({ card, rank: this.rank(card.sample) }));
    order.sort((a, b) => (a.rank === b.rank ? a.card.sample - b.card.sample : a.rank < b.rank ? -1 : 1));
    const focused = document.activeElement;
    const grid = cards[0].element.parentElement;
    const elements = order.map(({ card }) => card.element);
    // Cards that lie right are not moved: what has the focus would lose it.
    if (elements.some((element, i) => element !== grid.children[i])) grid.append(...elements);
    cards.forEach((card) => { card.element.hidden = !this.fits(card.sample); });
    if (grid.contains(focused)) focused.focus({ preventScroll: true });
    const shown = elements.filter((element) => !element.hidden).length;
    byId("samples-count").textContent = shown === cards.length ? "" : `${shown} of ${cards.length} shown`;
  }

  // Let a sample be seen that the filter hides.
  reveal(sample) {
    if (!this.page.cards[sample].element.hidden) return;
    this.filter.value = "all";
    this.arrange();
  }
}

const everFlagged = (sample) => data.flaggedCells.some(([, flagged]) => flagged === data.samples[sample]);

// A card as a PNG: its heading, its picture as it is seen, the scale and the numbers.

const savePicture = async (card) => {
  const { page, sample } = card;
  const [box, colours] = [card.picture.getBoundingClientRect(), getComputedStyle(card.element)];
  const [density, margin, line, wide] = [2, 14, 20, Math.max(box.width, 340)];
  const high = (wide * box.height) / box.width;
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width: density * (wide + 2 * margin), height: density * (high + 5 * line + 2 * margin) });
  const context = canvas.getContext("2d");
  context.scale(density, density);
  context.fillStyle = colours.backgroundColor;
  context.fillRect(0, 0, canvas.width, canvas.height);
  let top = margin;
  const write = (text, bold = "") => {
    Object.assign(context, { fillStyle: colours.color, textBaseline: "top" });
    context.font = `${bold} 13px ${colours.fontFamily}`;
    context.fillText(text, margin, top, wide);
    top += line;
  };
  const step = data.kept[page.state.place];
  const unit = card.element.querySelector(".unit").textContent;
  write(`${data.name}: sample ${data.samples[sample]}`, "600");
  write([stepName(step), unit, card.what()].filter(Boolean).join(", "));
  context.imageSmoothingEnabled = false;
  context.drawImage(card.canvas, margin, top, wide, high);
  for (const [cross, stroke] of [[card.pinned, "#35d0ff"], [card.cross, "#fff"]]) {
    if (cross.hidden) continue;
    const at = cross.getBoundingClientRect();
    const scale = wide / box.width;
    context.strokeStyle = stroke;
    context.strokeRect(margin + scale * (at.x - box.x), top + scale * (at.y - box.y), scale * at.width, scale * at.height);
  }
  top += high + 8;
  context.imageSmoothingEnabled = true;
  context.drawImage(byId("bar"), margin, top, wide, 7);
  top += 12;
  write(`${byId("bar-low").textContent} to ${byId("bar-high").textContent}`);
  write(card.numbers.map((cell) => `${cell.dataset.series} ${cell.textContent}`).join("   "));
  const blob = await new Promise((resolve) => canvas.toBlob(resolve));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = `${data.name.replace(/[^\w.-]+/g, "_").slice(0, 80)}_sample${data.samples[sample]}_step${step}.png`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
};

// Two runs over each other: the left one up to the edge of the swipe, the right one beyond it.

const perRun = data.runs.map((run) => new View("relevance", run.view));
const flat = data.observations.channels === 0;
const chosen = (id) => Number(byId(id).value);
// Of colours there is one list; of other channels, one for each.
const observations = data.observations.pictures[data.observations.channels === 3 ? 0 : data.observations.shown];
let turn = 0;

const observed = (sample) =>
  flat ? Promise.resolve(null) : unpacked(observations[sample]);

const paint = (side, bytes, observation, limit) => {
  const view = perRun[chosen(side)], run = data.runs[chosen(side)];
  const place = chosen("step"), sample = chosen("sample"), largest = view.largest(place, sample);
  const canvas = byId(`${side}-map`);
  if (flat) paintBars(canvas, view, bytes, largest, limit);
  else paintImage(canvas, observation, bytes, palette(view, largest, limit), chosen("opacity") / 100, 0);
  const says = `${side === "left" ? "Left" : "Right"}: ${run.path}, ${run.rule}, ${run.unit} ${whole(run.steps[place])}. `
    + `Largest ${number(largest)}, colours end at ${number(limit)}.`;
  byId(`${side}-says`).textContent = says;
  canvas.setAttribute("aria-label", says);
};

const draw = async () => {
  const mine = ++turn;
  const sides = ["left", "right"], place = chosen("step"), sample = chosen("sample");
  const maps = await Promise.all(sides.map((side) => perRun[chosen(side)].bytes(place, sample)));
  const observation = await observed(sample);
  if (mine !== turn) return; // a later choice is drawn
  const limits = sides.map((side) => perRun[chosen(side)].limit);
  const same = byId("scale").value === "same";
  sides.forEach((side, i) => paint(side, maps[i], observation, same ? Math.max(...limits) : limits[i]));
  const at = `${chosen("swipe")}%`;
  byId("right-map").style.clipPath = `inset(0 0 0 ${at})`;
  byId("left-map").style.clipPath = `inset(0 calc(100% - ${at}) 0 0)`;
  byId("edge").style.left = at;
  document.body.dataset.ready = "all";
};

byId("exchange").addEventListener("click", () => {
  [byId("left").value, byId("right").value] = [byId("right").value, byId("left").value];
  draw();
});
["left", "right", "sample", "scale", "opacity", "step", "swipe"].forEach((id) =>
  byId(id).addEventListener("input", draw));
draw();

// Maps are kept as text and unpacked when they are first shown.

const byId = (id) => root.querySelector(`#${id}`);
const read = (id) => JSON.parse(byId(id).textContent);
const data = read("data");

const unpacked = async (text) => {
  const characters = atob(text);
  const bytes = new Uint8Array(characters.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = characters.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
};

class View {
  constructor(name, { levels, limit, note, signed, maps }) {
    Object.assign(this, { name, levels, limit, note, signed, maps, found: new Map() });
    this.byStep = name === "relevance" || name === "change";
  }

  // A view of the whole run has one row of maps.
  row(place) {
    return this.maps[this.byStep ? place : 0];
  }

  // The bytes of a map, or null where the page has none.
  bytes(place, sample) {
    const map = this.row(place)[sample];
    if (map === null) return Promise.resolve(null);
    const key = `${this.byStep ? place : 0} ${sample}`;
    if (!this.found.has(key)) this.found.set(key, unpacked(map[1]));
    return this.found.get(key);
  }

  largest(place, sample) {
    return this.row(place)[sample][0];
  }

  value(byte, largest) {
    const share = (byte - this.levels) / this.levels;
    return Math.sign(share) * share * share * largest;
  }
}

const views = Object.fromEntries(
  Object.entries(data.views).map(([name, view]) => [name, new View(name, view)]),
);

const number = (value) => {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  return size >= 1e5 || size < 1e-3 ? value.toExponential(2) : String(Number(value.toPrecision(3)));
};
const whole = (value) => value.toLocaleString("en");
const stepName = (step) => `${data.stepUnit.replace(/s$/, "")} ${whole(step)}`;
// As the figures have it: 9,000, 12k, 1.2M.
const short = (value) => {
  const [size, unit] = value < 1e4 ? [1, ""] : [[1e9, "B"], [1e6, "M"], [1e3, "k"]].find(([least]) => value >= least);
  return `${(value / size).toLocaleString("en", { maximumFractionDigits: 3 })}${unit}`;
};

// Pictures: colours over the observation, or bars where observations are flat.

const ramps = Object.fromEntries(
  Object.entries(data.colours).map(([name, digits]) => [
    name,
    Array.from({ length: 256 }, (_, i) =>
      [0, 2, 4].map((at) => parseInt(digits.slice(6 * i + at, 6 * i + at + 2), 16))),
  ]),
);

const colour = (view, value, limit) => {
  const share = view.signed ? 0.5 + value / limit / 2 : value / limit;
  const place = Math.round(255 * Math.min(1, Math.max(0, share)));
  return ramps[view.signed ? "signed" : "sequential"][place];
};

// The colour of each byte of a map.
const palette = (view, largest, limit) =>
  Array.from({ length: 2 * view.levels + 1 }, (_, byte) =>
    colour(view, view.value(byte, largest), limit));

// `channel` is a choice of those of the observation; 0 of colours is all of them.
const paintImage = (canvas, observation, bytes, colours, opacity, channel) => {
  const { height, width, channels } = data.observations;
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  // Colours of the observation would be taken for the map's: under a map it is grey.
  const weights = channels === 1 ? [1]
    : channel === 0 ? [0.299, 0.587, 0.114] : [1, 2, 3].map((one) => Number(one === channel));
  const coloured = channels === 3 && channel === 0 && opacity === 0;
  for (let pixel = 0; pixel < height * width; pixel++) {
    const over = colours[bytes[pixel]];
    const at = pixel * channels;
    const grey = weights.reduce((sum, weight, c) => sum + weight * observation[at + c], 0);
    for (let c = 0; c < 3; c++) {
      const under = coloured ? observation[at + c] : grey;
      image.data[4 * pixel + c] = under + opacity * (over[c] - under);
    }
    image.data[4 * pixel + 3] = 255;
  }
  context.putImageData(image, 0, 0);
};

const paintBars = (canvas, view, bytes, largest, limit) => {
  const density = window.devicePixelRatio || 1;
  const width = Math.max(1, Math.round(canvas.clientWidth * density));
  const height = Math.max(1, Math.round(canvas.clientHeight * density));
  Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  const signed = view.signed;
  const zero = signed ? height / 2 : height - density;
  const room = signed ? height / 2 : height - density;
  const step = width / bytes.length;
  const gap = step > 4 * density ? density : 0;
  // Full colours at any length: pale ones would not be seen on the card.
  const [below, above] = view.signed
    ? [ramps.signed[38], ramps.signed[217]] : [ramps.sequential[150], ramps.sequential[150]];
  bytes.forEach((byte, i) => {
    const value = view.value(byte, largest);
    const length = room * Math.min(1, Math.max(-1, value / limit));
    context.fillStyle = `rgb(${value < 0 ? below : above})`;
    context.fillRect(i * step, zero - Math.max(length, 0), Math.max(step - gap, 0.5), Math.abs(length));
  });
  context.fillStyle = "#8a8a8a";
  context.fillRect(0, Math.min(zero, height - density), width, density);
};

const paintBar = (canvas, view) => {
  const context = canvas.getContext("2d");
  const image = context.createImageData(256, 1);
  ramps[view.signed ? "signed" : "sequential"].forEach((rgb, i) => image.data.set([...rgb, 255], 4 * i));
  context.putImageData(image, 0, 0);
};

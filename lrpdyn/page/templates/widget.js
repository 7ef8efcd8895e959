// The page of a run in a notebook: in a frame that can reach nothing around it, its step and its
// sample those of the widget.

const render = ({ model, el }) => {
  const frame = document.createElement("iframe");
  frame.sandbox = "allow-scripts allow-downloads allow-modals";
  frame.title = "The page of the run";
  // The colours of JupyterLab, which are not those of the system.
  const light = document.body.dataset.jpThemeLight;
  const scheme = light === undefined ? "" : `color-scheme: ${light === "true" ? "light" : "dark"};`;
  frame.style.cssText = `width: 100%; height: ${model.get("height")}px; border: 0; ${scheme}`;
  let [isThere, isHearing] = [false, false];
  const show = () => {
    if (!isThere || isHearing) return;
    const wanted = new URLSearchParams({ step: model.get("step"), sample: model.get("sample") });
    frame.contentWindow.postMessage(`#${wanted}`, "*");
  };
  const hear = ({ source, data }) => {
    if (source !== frame.contentWindow || typeof data !== "string") return;
    if (!isThere) {
      isThere = true;
      return show(); // the page answers with what it then shows
    }
    const said = new URLSearchParams(data.slice(1));
    isHearing = true;
    for (const name of ["step", "sample"]) model.set(name, Number(said.get(name)));
    isHearing = false;
    model.save_changes();
  };
  window.addEventListener("message", hear);
  model.on("change:step", show);
  model.on("change:sample", show);
  frame.srcdoc = model.get("page");
  el.append(frame);
  return () => {
    window.removeEventListener("message", hear);
    model.off("change:step", show);
    model.off("change:sample", show);
  };
};

export default { render };

// The page of a run in a notebook: in a frame that can reach nothing around it, its step and its
// sample those of the widget.

// Whether JupyterLab or VS Code is dark, which need not be as the system is.
const colours = () => {
  const { jpThemeLight, vscodeThemeKind } = document.body.dataset;
  if (jpThemeLight === undefined && vscodeThemeKind === undefined) return {};
  return { dark: jpThemeLight === "false" || vscodeThemeKind === "vscode-dark" };
};

const render = ({ model, el }) => {
  const frame = document.createElement("iframe");
  frame.sandbox = "allow-scripts allow-downloads allow-modals";
  frame.title = "The page of the run";
  frame.style.cssText = `width: 100%; height: ${model.get("height")}px; border: 0`;
  let [isThere, isHearing] = [false, false];
  const show = (more = {}) => {
    if (!isThere || isHearing) return;
    const wanted = new URLSearchParams({ step: model.get("step"), sample: model.get("sample"), ...more });
    frame.contentWindow.postMessage(`#${wanted}`, "*");
  };
  const hear = ({ source, data }) => {
    if (source !== frame.contentWindow || typeof data !== "string") return;
    if (!isThere) {
      isThere = true;
      return show(colours()); // the page answers with what it then shows
    }
    const said = new URLSearchParams(data.slice(1));
    isHearing = true;
    for (const name of ["step", "sample"]) model.set(name, Number(said.get(name)));
    isHearing = false;
    model.save_changes();
  };
  window.addEventListener("message", hear);
  const moved = () => show();
  model.on("change:step", moved);
  model.on("change:sample", moved);
  frame.srcdoc = model.get("page");
  el.append(frame);
  return () => {
    window.removeEventListener("message", hear);
    model.off("change:step", moved);
    model.off("change:sample", moved);
  };
};

export default { render };

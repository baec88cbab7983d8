// Where in a JSON text a place such as `topics[3].phrases[1].strictness` stands, so that what is wrong can be pointed at.

/// The start and the end of each value, by its place.
function spans(text) {
  const found = new Map();
  let at = 0;
  const space = () => {
    while (/\s/.test(text[at] ?? "")) at += 1;
  };
  const word = (shape) => {
    shape.lastIndex = at;
    const said = shape.exec(text)?.[0] ?? "";
    at += said.length || 1;
    return said;
  };
  const members = (end, each) => {
    at += 1;
    for (let n = 0; at < text.length; n += 1) {
      space();
      if (text[at] === end) break;
      each(n);
      space();
      if (text[at] === ",") at += 1;
    }
    at += 1;
  };
  const value = (place) => {
    space();
    const from = at;
    if (text[at] === "{") {
      members("}", () => {
        const name = word(/"(?:[^"\\]|\\.)*"/y).slice(1, -1);
        space();
        at += 1;
        value(place ? `${place}.${name}` : name);
      });
    } else if (text[at] === "[") members("]", (n) => value(`${place}[${n}]`));
    else word(/"(?:[^"\\]|\\.)*"|[^\s,\]}]+/y);
    found.set(place, [from, at]);
  };
  value("");
  return found;
}

/// The span of the place in the text, else of the nearest around it.
export function spanOf(text, place) {
  const spot = /^line (\d+), column (\d+)$/.exec(place);
  if (spot) {
    const before = text.split("\n").slice(0, spot[1] - 1).reduce((sum, line) => sum + line.length + 1, 0);
    return [before, before + Number(spot[2])];
  }
  const found = spans(text);
  for (let near = place; ; near = near.replace(/(\.[^.[]*|\[\d+\]|^[^.[]*)$/, "")) {
    if (found.has(near)) return found.get(near);
    if (!near) return [0, text.length];
  }
}

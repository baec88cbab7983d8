// What a person's hands and eyes do, for the tests; no part of the page.
const hands = (window.hands = {
  async until(look) {
    for (const end = performance.now() + 30000; performance.now() < end; ) {
      // Before its body, a page has nothing to look at.
      const value = document.body && look();
      if (value) return { value: value instanceof Node ? true : value };
      await new Promise((again) => setTimeout(again, 20));
    }
    return { never: true, page: `${location.href}\n${document.body.innerText}` };
  },
  seen: (node) => node.checkVisibility() && !node.disabled,
  press(text) {
    const place = document.querySelector("dialog[open]") ?? document;
    const named = (node) => [node.innerText.trim(), node.getAttribute("aria-label")].includes(text);
    const found = [...place.querySelectorAll("button, a, summary, label.tick, .chip")].find((node) => hands.seen(node) && named(node));
    found?.click();
    return Boolean(found);
  },
  take(name) {
    const place = document.querySelector("dialog[open]") ?? document;
    const field = place.querySelector(`main [name="${name}"], dialog [name="${name}"]`);
    if (!field || !hands.seen(field)) return false;
    field.focus();
    field.select?.();
    if (field.select && field.value !== "") document.execCommand("delete");
    return document.activeElement === field;
  },
});

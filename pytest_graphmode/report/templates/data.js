// The details of a test and its graphs: blocks of base64 and gzip in the page, unpacked when they are looked at.

const unpacked = new Map();

async function unpack(name) {
  if (!unpacked.has(name)) {
    const bytes = Uint8Array.from(atob(document.getElementById(name).textContent), (one) => one.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    unpacked.set(name, await new Response(stream).json());
  }
  return unpacked.get(name);
}

// A colour and a dash for each variant of a test, the same in all of its plots.
const DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3]];

function look(variants, shown) {
  const index = Math.max(0, variants.findIndex((variant) => variant.shown === shown));
  return { colour: `--series-${index % 8}`, dash: DASHES[index % DASHES.length] };
}

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

// What scenes of all engines are made of: random numbers by name, textures and sprites painted by them, and a HUD.

/** A function that gives numbers of 0 to 1, the same for the same words (mulberry32 over an FNV-1a hash). */
export function seed(words) {
  let state = 2166136261;
  for (const letter of words) state = Math.imul(state ^ letter.codePointAt(0), 16777619);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

export const pick = (random, choices) => choices[Math.floor(random() * choices.length)];
export const between = (random, low, high) => low + random() * (high - low);
export const isSmall = () => window.devicePixelRatio === 1;

export function makeCanvas(width, height = width) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  return canvas;
}

const tint = (hue, saturation, light) => `hsl(${hue} ${saturation}% ${light}%)`;

function speckle(context, random, side, strength) {
  const pixels = context.getImageData(0, 0, side, side);
  for (let i = 0; i < pixels.data.length; i += 4) {
    const change = (random() - 0.5) * strength;
    for (let c = 0; c < 3; c++) pixels.data[i + c] += change;
  }
  context.putImageData(pixels, 0, 0);
}

function blotches(context, random, side, hue, saturation, count) {
  for (let i = 0; i < count; i++) {
    const x = random() * side, y = random() * side, r = between(random, side / 40, side / 6);
    const light = between(random, 15, 60);
    for (const dx of [-side, 0, side]) // so that the sides fit together
      for (const dy of [-side, 0, side]) {
        const fill = context.createRadialGradient(x + dx, y + dy, 0, x + dx, y + dy, r);
        fill.addColorStop(0, `hsl(${hue} ${saturation}% ${light}% / 0.35)`);
        fill.addColorStop(1, `hsl(${hue} ${saturation}% ${light}% / 0)`);
        context.fillStyle = fill;
        context.fillRect(x + dx - r, y + dy - r, 2 * r, 2 * r);
      }
  }
}

const SURFACES = {
  brick(context, random, side, hue) {
    context.fillStyle = tint(hue, 8, 55);
    context.fillRect(0, 0, side, side);
    const rows = pick(random, [8, 12, 16]), height = side / rows, width = height * 2;
    for (let row = 0; row < rows; row++)
      for (let x = -width; x < side + width; x += width) {
        context.fillStyle = tint(hue + between(random, -6, 6), between(random, 25, 50), between(random, 25, 42));
        context.fillRect(x + ((row % 2) * width) / 2 + 1, row * height + 1, width - 2, height - 2);
      }
  },
  planks(context, random, side, hue) {
    const count = pick(random, [4, 6, 8]), width = side / count;
    for (let i = 0; i < count; i++) {
      context.fillStyle = tint(hue, 35, between(random, 24, 46));
      context.fillRect(i * width, 0, width, side);
      context.strokeStyle = tint(hue, 40, 16);
      for (let line = 0; line < 7; line++) {
        const x = i * width + random() * width;
        context.globalAlpha = 0.35;
        context.beginPath();
        context.moveTo(x, 0);
        context.bezierCurveTo(x + between(random, -9, 9), side / 3, x + between(random, -9, 9), side / 1.5, x, side);
        context.stroke();
        context.globalAlpha = 1;
      }
      context.strokeRect(i * width, between(random, 0, side), width, side);
    }
  },
  ground(context, random, side, hue) {
    context.fillStyle = tint(hue, 40, 32);
    context.fillRect(0, 0, side, side);
    blotches(context, random, side, hue, 45, 80);
    for (let i = 0; i < 900; i++) {
      context.strokeStyle = tint(hue + between(random, -15, 15), 45, between(random, 15, 55));
      const x = random() * side, y = random() * side;
      context.beginPath();
      context.moveTo(x, y);
      context.lineTo(x + between(random, -3, 3), y - between(random, 2, 8));
      context.stroke();
    }
  },
  stone(context, random, side, hue) {
    context.fillStyle = tint(hue, 6, 45);
    context.fillRect(0, 0, side, side);
    blotches(context, random, side, hue, 8, 120);
    context.strokeStyle = tint(hue, 8, 18);
    for (let i = 0; i < 26; i++) {
      let x = random() * side, y = random() * side;
      context.beginPath();
      context.moveTo(x, y);
      for (let step = 0; step < 5; step++) context.lineTo((x += between(random, -22, 22)), (y += between(random, -22, 22)));
      context.stroke();
    }
  },
  tiles(context, random, side, hue) {
    const count = pick(random, [2, 4, 8]), width = side / count;
    for (let x = 0; x < count; x++)
      for (let y = 0; y < count; y++) {
        context.fillStyle = tint(hue + ((x + y) % 2) * 30, 25, (x + y) % 2 ? 62 : 34);
        context.fillRect(x * width, y * width, width, width);
        context.strokeStyle = tint(hue, 10, 20);
        context.strokeRect(x * width + 0.5, y * width + 0.5, width - 1, width - 1);
      }
  },
  metal(context, random, side, hue) {
    const fill = context.createLinearGradient(0, 0, side, side);
    fill.addColorStop(0, tint(hue, 12, 30));
    fill.addColorStop(0.5, tint(hue, 12, 60));
    fill.addColorStop(1, tint(hue, 12, 26));
    context.fillStyle = fill;
    context.fillRect(0, 0, side, side);
    const count = pick(random, [2, 3, 4]), width = side / count;
    for (let x = 0; x < count; x++)
      for (let y = 0; y < count; y++) {
        context.strokeStyle = "rgb(0 0 0 / 0.6)";
        context.strokeRect(x * width + 2.5, y * width + 2.5, width - 5, width - 5);
        context.fillStyle = "rgb(255 255 255 / 0.5)";
        for (const [dx, dy] of [[7, 7], [width - 9, 7], [7, width - 9], [width - 9, width - 9]])
          context.fillRect(x * width + dx, y * width + dy, 3, 3);
      }
  },
  crate(context, random, side, hue) {
    SURFACES.planks(context, random, side, hue);
    context.lineWidth = side / 12;
    context.strokeStyle = tint(hue, 40, 22);
    context.strokeRect(side / 24, side / 24, (side * 11) / 12, (side * 11) / 12);
    context.beginPath();
    context.moveTo(0, 0);
    context.lineTo(side, side);
    context.stroke();
    context.lineWidth = 1;
    context.fillStyle = tint(hue + 180, 50, 80);
    context.font = `bold ${side / 6}px sans-serif`;
    context.fillText(pick(random, ["No. 7", "TNT", "A-113", "FRAGILE", "ore", "50 kg"]), side / 5, side / 1.8);
  },
  windows(context, random, side, hue) {
    SURFACES.stone(context, random, side, hue);
    const columns = pick(random, [3, 4, 6]), rows = pick(random, [4, 6, 8]);
    for (let x = 0; x < columns; x++)
      for (let y = 0; y < rows; y++) {
        context.fillStyle = random() < 0.35 ? tint(48, 80, between(random, 55, 80)) : tint(215, 30, between(random, 12, 35));
        context.fillRect(((x + 0.2) * side) / columns, ((y + 0.2) * side) / rows, (0.6 * side) / columns, (0.6 * side) / rows);
      }
  },
};

export const SURFACE_NAMES = Object.keys(SURFACES);

/** A texture as a canvas, which can be laid side by side. */
export function paintSurface(name, random, side = pick(random, [32, 64, 128, 256])) {
  const canvas = makeCanvas(side), context = canvas.getContext("2d", { willReadFrequently: true });
  const hues = { ground: [70, 140], planks: [18, 40], crate: [20, 45], brick: [0, 40] }[name] ?? [0, 360];
  SURFACES[name](context, random, side, between(random, ...hues));
  speckle(context, random, side, between(random, 4, 45));
  return canvas;
}

/** Pixel art as a canvas: a creature, ship or thing of `side` pixels, the same left and right. */
export function paintSprite(random, side = pick(random, [8, 12, 16, 24])) {
  const canvas = makeCanvas(side), context = canvas.getContext("2d");
  const hue = random() * 360, colours = [0, 1, 2, 3].map((i) => tint(hue + i * between(random, 10, 90), 65, 25 + 18 * i));
  const fill = Array.from({ length: side }, () => Array(side).fill(-1));
  for (let y = 1; y < side - 1; y++)
    for (let x = 1; x < side / 2; x++) {
      const away = Math.hypot((x - side / 2) / (side / 2), (y - side / 2) / (side / 2));
      if (random() > away * 0.95) fill[y][x] = fill[y][side - 1 - x] = Math.floor(random() * 4);
    }
  for (let y = 0; y < side; y++)
    for (let x = 0; x < side; x++) {
      const beside = [[0, 1], [1, 0], [0, -1], [-1, 0]].some(([dx, dy]) => (fill[y + dy]?.[x + dx] ?? -1) >= 0);
      if (fill[y][x] < 0 && !beside) continue;
      context.fillStyle = fill[y][x] < 0 ? "#101018" : colours[fill[y][x]];
      context.fillRect(x, y, 1, 1);
    }
  return canvas;
}

const NAMES = ["Mira", "Otto", "K-9", "Lady Ash", "Rook", "Bryn", "Sol", "Capt. Hale", "Yuki", "Vex"];
const THINGS = ["Healing herb", "Iron sword", "Old map", "Torch x3", "Ferry ticket", "Blue key", "Rope", "Lamp oil"];
const LINES = [
  "The bridge is out. You will have to take the long way round.", "Who left the gate open?", "Wave 3 begins in 12 seconds",
  "Press E to open the chest", "You found 35 gold.", "Checkpoint reached", "They say the mine is haunted...",
  "Autosaving - do not switch off", "Mission: find the three signal towers", "Lap 2/3   best 1:07.38",
];

/** Text and bars over the picture, as games have them: laid out in pixels of CSS, so that they grow with the scale. */
export function addHud(random) {
  const hud = document.createElement("div"), height = window.innerHeight;
  hud.id = "hud";
  const font = pick(random, ["DejaVu Sans", "DejaVu Sans Mono", "DejaVu Serif", "sans-serif", "monospace", "serif"]);
  const size = Math.round(height * between(random, 0.035, 0.065));
  const colour = pick(random, ["#fff", "#ffe28a", "#9df", "#8f8", "#ff9a6b"]), hue = random() * 360;
  hud.style.cssText = `font: ${pick(random, ["normal", "bold"])} ${size}px "${font}"; color: ${colour};` +
    pick(random, ["", "text-shadow: 1px 1px 0 #000;", "text-shadow: 0 0 3px #000;", "-webkit-text-stroke: 0.5px #000;"]);
  const put = (style, words = "") => {
    const box = document.createElement("div");
    box.style.cssText = `position: absolute; ${style}`;
    box.textContent = words;
    hud.append(box);
    return box;
  };
  const edge = Math.round(height * 0.03);
  if (random() < 0.7) put(`left: ${edge}px; top: ${edge}px`, `SCORE ${String(Math.floor(random() * 1e6)).padStart(6, "0")}`);
  if (random() < 0.6) put(`right: ${edge}px; top: ${edge}px`, `${Math.floor(random() * 10)}:${String(Math.floor(random() * 60)).padStart(2, "0")}`);
  if (random() < 0.6) {
    const bar = put(`left: ${edge}px; bottom: ${edge}px; width: 28%; height: ${size}px; border: 1px solid ${colour}; background: rgb(0 0 0 / 0.5)`);
    bar.innerHTML = `<div style="width: ${20 + random() * 75}%; height: 100%; background: linear-gradient(hsl(${hue} 80% 60%), hsl(${hue} 80% 30%))"></div>`;
  }
  if (random() < 0.35) {
    const box = put(`left: 8%; right: 8%; bottom: 6%; padding: ${size / 2}px; background: rgb(10 10 40 / 0.8); border: 2px solid ${colour}; border-radius: ${pick(random, [0, 6])}px`);
    const name = document.createElement("b");
    name.textContent = pick(random, NAMES);
    box.append(name, document.createElement("br"), pick(random, LINES));
  } else if (random() < 0.4) put(`left: 0; right: 0; top: 22%; text-align: center; font-size: ${1.4 * size}px`, pick(random, LINES));
  if (random() < 0.25) {
    const list = put(`right: ${edge}px; top: 20%; padding: ${size / 2}px; background: rgb(0 0 0 / 0.6); border: 1px solid`);
    for (let i = 0; i < 5; i++) {
      const row = document.createElement("div");
      row.textContent = `${i === 1 ? "> " : "  "}${pick(random, THINGS)}`;
      list.append(row);
    }
  }
  if (random() < 0.3) {
    const map = put(`right: ${edge}px; bottom: ${edge}px; width: ${height / 5}px; height: ${height / 5}px; border-radius: 50%; border: 2px solid ${colour}; overflow: hidden; background: rgb(0 40 0 / 0.6)`);
    for (let i = 0; i < 8; i++)
      map.innerHTML += `<div style="position: absolute; left: ${random() * 90}%; top: ${random() * 90}%; width: 3px; height: 3px; background: hsl(${random() * 360} 90% 60%)"></div>`;
  }
  if (random() < 0.3) put("left: 50%; top: 50%; width: 8px; height: 8px; margin: -4px; border: 1px solid #fff; border-radius: 50%");
  document.body.append(hud);
}

// What 2D scenes of all engines are made of: tiles and backdrops painted by random numbers, and levels.

import { between, makeCanvas, pick } from "./art.js";

const colour = (hue, saturation, light) => `hsl(${hue} ${saturation}% ${light}%)`;

/** A square context to paint on, in pixels of the art. */
function begin(side, height = side) {
  const canvas = makeCanvas(side, height);
  return [canvas, canvas.getContext("2d")];
}

/** The colours of a place: hues of what grows, of the ground, of what was built, and of its sky. */
export function pickPalette(random) {
  const theme = pick(random, [[110, 28, 15, 205], [85, 35, 220, 195], [30, 40, 0, 35], [200, 215, 230, 210], [280, 260, 300, 265], [150, 20, 45, 180]]);
  const [plant, soil, wall, sky] = theme.map((hue) => hue + between(random, -12, 12));
  return { plant, soil, wall, sky, strong: between(random, 30, 70), night: random() < 0.3 };
}

function grain(context, random, side, hue, strong, low, high, count) {
  for (let i = 0; i < count; i++) {
    context.fillStyle = colour(hue + between(random, -8, 8), strong, between(random, low, high));
    context.fillRect(Math.floor(random() * side), Math.floor(random() * side), random() < 0.3 ? 2 : 1, 1);
  }
}

function fill(context, side, hue, strong, light) {
  context.fillStyle = colour(hue, strong, light);
  context.fillRect(0, 0, side, side);
}

const TILES = {
  soil(context, random, side, { soil, strong }) {
    fill(context, side, soil, strong, 28);
    grain(context, random, side, soil, strong, 18, 42, (side * side) / 6);
  },
  turf(context, random, side, palette) {
    TILES.soil(context, random, side, palette);
    for (let x = 0; x < side; x++) {
      const deep = Math.floor(side * between(random, 0.2, 0.45));
      context.fillStyle = colour(palette.plant, palette.strong, 40);
      context.fillRect(x, 0, 1, deep);
      context.fillStyle = colour(palette.plant, palette.strong, 58);
      context.fillRect(x, 0, 1, Math.ceil(deep / 3));
    }
  },
  field(context, random, side, { plant, strong }) {
    fill(context, side, plant, strong, 36);
    grain(context, random, side, plant, strong, 28, 50, (side * side) / 9);
  },
  sand(context, random, side, { strong }) {
    fill(context, side, 44, strong, 66);
    grain(context, random, side, 40, strong, 55, 76, (side * side) / 10);
  },
  water(context, random, side, { sky, strong }) {
    fill(context, side, sky, strong + 20, 42);
    for (let i = 0; i < 4; i++) {
      context.fillStyle = colour(sky, strong, 62);
      context.fillRect(Math.floor(random() * side), Math.floor(random() * side), Math.ceil(side / 4), 1);
    }
  },
  brick(context, random, side, { wall, strong }) {
    fill(context, side, wall, strong / 2, 18);
    const height = Math.max(3, side >> 2);
    for (let row = 0; row * height < side; row++)
      for (let x = -height * 2; x < side; x += height * 2) {
        context.fillStyle = colour(wall, strong, between(random, 34, 46));
        context.fillRect(x + (row % 2) * height, row * height, height * 2 - 1, height - 1);
      }
  },
  block(context, random, side, { wall, strong }) {
    fill(context, side, wall, strong / 2, 44);
    context.fillStyle = colour(wall, strong / 2, 64);
    context.fillRect(0, 0, side, 1);
    context.fillRect(0, 0, 1, side);
    context.fillStyle = colour(wall, strong / 2, 20);
    context.fillRect(0, side - 1, side, 1);
    context.fillRect(side - 1, 0, 1, side);
    grain(context, random, side, wall, strong / 2, 34, 52, side);
  },
  floor(context, random, side, { wall, strong }) {
    fill(context, side, wall + 20, strong / 4, 30);
    grain(context, random, side, wall, strong / 4, 24, 36, side * 2);
    context.fillStyle = colour(wall, 10, 20);
    context.fillRect(0, side - 1, side, 1);
    context.fillRect(side - 1, 0, 1, side);
  },
  wood(context, random, side) {
    for (let y = 0; y < side; y += 4) {
      context.fillStyle = colour(28, 45, between(random, 30, 42));
      context.fillRect(0, y, side, 3);
      context.fillStyle = colour(28, 50, 18);
      context.fillRect(0, y + 3, side, 1);
      context.fillRect(Math.floor(random() * side), y, 1, 3);
    }
  },
  spike(context, random, side) {
    for (let i = 0; i < 2; i++)
      for (let y = 0; y < side; y++) {
        const half = (y * side) / 4 / side;
        context.fillStyle = colour(210, 10, 85 - (50 * y) / side);
        context.fillRect(Math.round(side * (0.25 + 0.5 * i) - half), y, Math.max(1, Math.round(2 * half)), 1);
      }
  },
  ladder(context, random, side) {
    context.fillStyle = colour(32, 60, 45);
    for (const x of [0.2, 0.7]) context.fillRect(Math.round(side * x), 0, Math.max(1, side >> 3), side);
    for (let y = 1; y < side; y += 4) context.fillRect(Math.round(side * 0.2), y, Math.round(side * 0.6), 1);
  },
  coin(context, random, side) {
    for (let y = 0; y < side; y++)
      for (let x = 0; x < side; x++) {
        const away = Math.hypot((x + 0.5) / side - 0.5, (y + 0.5) / side - 0.5);
        if (away > 0.36) continue;
        context.fillStyle = colour(48, 95, away > 0.28 ? 32 : x + y < side ? 68 : 52);
        context.fillRect(x, y, 1, 1);
      }
  },
  tree(context, random, side, { plant, strong }) {
    context.fillStyle = colour(28, 45, 26);
    context.fillRect(Math.round(side * 0.42), side >> 1, Math.max(2, side >> 3), side >> 1);
    for (let i = 0; i < side * 3; i++) {
      const turn = random() * 7, away = side * 0.38 * Math.sqrt(random());
      context.fillStyle = colour(plant, strong, between(random, 20, 48));
      context.fillRect(Math.round(side / 2 + away * Math.cos(turn)), Math.round(side * 0.4 + away * Math.sin(turn)), 2, 2);
    }
  },
  flower(context, random, side) {
    const hue = random() * 360, x = side >> 1, y = side >> 1;
    context.fillStyle = colour(110, 50, 30);
    context.fillRect(x, y, 1, side - y);
    context.fillStyle = colour(hue, 80, 65);
    context.fillRect(x - 2, y - 1, 5, 2);
    context.fillRect(x - 1, y - 2, 3, 4);
    context.fillStyle = colour(50, 90, 60);
    context.fillRect(x, y, 1, 1);
  },
  chest(context, random, side) {
    context.fillStyle = colour(25, 60, 30);
    context.fillRect(1, side >> 2, side - 2, side - (side >> 2) - 1);
    context.fillStyle = colour(45, 80, 55);
    context.fillRect(1, side >> 1, side - 2, 1);
    context.fillRect((side >> 1) - 1, (side >> 1) - 1, 3, 3);
  },
};

export const TILE_NAMES = Object.keys(TILES);

/** One picture that holds every kind of tile, side by side, in the order of TILE_NAMES. `gap`: pixels around each. */
export function paintTiles(random, palette, side) {
  const [sheet, on] = begin(side * TILE_NAMES.length, side);
  const tiles = {};
  TILE_NAMES.forEach((name, i) => {
    const [tile, context] = begin(side);
    TILES[name](context, random, side, palette);
    on.drawImage(tile, i * side, 0);
    tiles[name] = tile;
  });
  return { sheet, tiles, side };
}

/** Sky, clouds, and hills or towers behind a scene: layers from far to near, each to be repeated sideways. */
export function paintBackdrops(random, palette, width, height) {
  const { sky, plant, wall, night } = palette, layers = [];
  const [far, context] = begin(width, height), top = night ? 6 : between(random, 45, 60);
  const shade = context.createLinearGradient(0, 0, 0, height);
  shade.addColorStop(0, colour(sky, 60, top));
  shade.addColorStop(1, colour(sky + between(random, -60, 30), 60, night ? 25 : 82));
  context.fillStyle = shade;
  context.fillRect(0, 0, width, height);
  for (let i = 0; i < 60; i++) {
    context.fillStyle = `rgb(255 255 255 / ${night ? random() : 0.05})`;
    const wide = night ? 1 : between(random, 10, 50);
    context.beginPath();
    context.ellipse(random() * width, random() * height * 0.7, wide, night ? 1 : wide / 3, 0, 0, 7);
    context.fill();
  }
  layers.push(far);
  for (let i = 0; i < 3; i++) {
    const [near, on] = begin(width, height), towers = random() < 0.35, [a, b] = [random() * 7, random() * 7];
    on.fillStyle = colour(towers ? wall : plant, 30, (night ? 10 : 60) - (night ? 2 : 11) * i);
    const base = height * (0.45 + 0.15 * i), turn = (2 * Math.PI) / width;
    if (towers)
      for (let x = 0; x < width; x += 14) {
        const high = Math.round(height * between(random, 0.02, 0.3));
        on.fillRect(x, base - high, pick(random, [8, 11, 14]), height);
        on.save();
        on.fillStyle = colour(48, 80, night ? 60 : 75);
        for (let y = base - high + 3; y < height; y += 6) if (random() < 0.4) on.fillRect(x + 2, y, 2, 3);
        on.restore();
      }
    else
      for (let x = 0; x < width; x++)
        on.fillRect(x, base + height * (0.09 * Math.sin(turn * x * (i + 1) + a) + 0.03 * Math.sin(turn * x * 5 + b)), 1, height);
    layers.push(near);
  }
  return layers;
}

const grid = (columns, rows, name = "") => Array.from({ length: rows }, () => Array(columns).fill(name));

/** Names of tiles, row by row, of a level seen from the side: "" is air. */
export function makeSideLevel(random, columns, rows) {
  const level = grid(columns, rows), body = pick(random, ["soil", "brick", "block", "wood"]);
  let ground = Math.floor(rows * 0.75);
  for (let x = 0; x < columns; x++) {
    if (random() < 0.25) ground = Math.max(rows >> 1, Math.min(rows - 2, ground + pick(random, [-1, 1])));
    const pit = random() < 0.05;
    for (let y = ground; y < rows && !pit; y++) level[y][x] = y > ground ? body : body === "soil" ? "turf" : body;
    if (pit && rows > 2) level[rows - 1][x] = "water";
    else if (random() < 0.2) level[Math.max(0, ground - 1)][x] = pick(random, ["flower", "tree", "coin", "spike", "chest", "flower", "tree"]);
  }
  for (let i = 0; i < columns / 6; i++) {
    const x = Math.floor(random() * columns), y = Math.min(rows - 1, 2 + Math.floor(random() * (rows * 0.45))), wide = 2 + Math.floor(random() * 4);
    for (let j = x; j < Math.min(columns, x + wide); j++) {
      level[y][j] = pick(random, ["block", "brick", "block"]);
      if (random() < 0.4) level[y - 1][j] = "coin";
    }
    if (random() < 0.3) for (let k = y; k < rows && !["soil", "turf"].includes(level[k][x]); k++) level[k][x] = "ladder";
  }
  return level;
}

/** Names of tiles, row by row, of a place seen from above: rooms and ways between them, or a country with water. */
export function makeTopLevel(random, columns, rows, indoors = random() < 0.5) {
  const level = grid(columns, rows, indoors ? "brick" : "field");
  if (!indoors) {
    const [a, b, c] = [random() * 7, random() * 7, between(random, 0.2, 0.6)];
    level.forEach((row, y) => row.forEach((_, x) => {
      const high = Math.sin(c * x + a) + Math.sin(c * y + b) + 0.5 * Math.sin(0.9 * x + 0.7 * y);
      if (high < -1.1) row[x] = "water";
      else if (high < -0.8) row[x] = "sand";
      else if (random() < 0.16) row[x] = pick(random, ["tree", "tree", "flower", "flower", "chest"]);
    }));
    const path = Math.floor(rows / 2 + between(random, -2, 2));
    for (let x = 0; x < columns; x++) level[Math.round(path + 1.5 * Math.sin(x / 4 + a))][x] = pick(random, ["soil", "soil", "sand"]);
    return level;
  }
  let [x, y] = [columns >> 1, rows >> 1];
  for (let room = 0; room < 14; room++) {
    const wide = 3 + Math.floor(random() * 5), high = 2 + Math.floor(random() * 4);
    for (let j = Math.max(1, y - (high >> 1)); j < Math.min(rows - 1, y + high); j++)
      for (let i = Math.max(1, x - (wide >> 1)); i < Math.min(columns - 1, x + wide); i++) level[j][i] = random() < 0.04 ? pick(random, ["chest", "coin", "spike"]) : "floor";
    const [toX, toY] = [1 + Math.floor(random() * (columns - 2)), 1 + Math.floor(random() * (rows - 2))];
    while (x !== toX) level[y][(x += Math.sign(toX - x))] = "floor";
    while (y !== toY) level[(y += Math.sign(toY - y))][x] = "floor";
  }
  return level;
}

/** Whether something of this name lies on the ground, so that ground is drawn beneath it. */
export const isThing = (name) => ["coin", "tree", "flower", "chest", "spike", "ladder"].includes(name);

export const LETTERS = Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i)).join("");

/** A bitmap font without grey edges, as old games have: LETTERS in cells of `width` x `height`, 16 a row. */
export function paintLetters(random, width = 8, height = 12, paint = "#fff") {
  const [sheet, context] = begin(width * 16, height * 6);
  context.font = `${pick(random, ["", "bold "])}${height - 2}px "DejaVu Sans Mono"`;
  context.textBaseline = "middle";
  context.fillStyle = paint;
  [...LETTERS].forEach((letter, i) => context.fillText(letter, (i % 16) * width, (Math.floor(i / 16) + 0.5) * height, width));
  const pixels = context.getImageData(0, 0, sheet.width, sheet.height);
  for (let i = 3; i < pixels.data.length; i += 4) pixels.data[i] = pixels.data[i] > 110 ? 255 : 0;
  context.putImageData(pixels, 0, 0);
  return sheet;
}

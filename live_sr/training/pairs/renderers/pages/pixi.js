import * as PIXI from "/npm/pixi.js/dist/pixi.min.mjs";
import { addHud, between, isSmall, paintSprite, pick, seed } from "./art.js";
import { isThing, makeSideLevel, makeTopLevel, paintBackdrops, paintTiles, pickPalette } from "./flat.js";

const { PI, sin, cos, floor } = Math;
const { Container, Graphics, Sprite, Text, TilingSprite } = PIXI;

export async function start(scene) {
  const random = seed(`pixi ${scene}`), app = new PIXI.Application(), palette = pickPalette(random);
  const width = window.innerWidth, height = window.innerHeight;
  await app.init({
    ...{ width, height, resolution: window.devicePixelRatio, autoDensity: true, autoStart: false, preference: "webgl" },
    ...{ antialias: random() < 0.4 && isSmall(), backgroundColor: floor(random() * 0x404040), preserveDrawingBuffer: true },
  });
  document.body.append(app.canvas);
  const look = new Look(random, palette);
  const move = WORLDS[scene.split("-")[0]](app.stage, random, look, width, height);
  if (random() < 0.4) addHud(random);
  return (number) => {
    move(number / 30);
    app.renderer.render(app.stage);
  };
}

class Look {
  constructor(random, palette) {
    this.palette = palette;
    this.side = pick(random, [8, 16, 16, 24, 32]);
    this.zoom = pick(random, [10, 12, 16, 16, 20, 24, 28]) / this.side;
    if (random() < 0.4) this.zoom = Math.max(1, Math.round(this.zoom));
    this.nearest = random() < 0.6;
    this.tiles = Object.fromEntries(Object.entries(paintTiles(random, palette, this.side).tiles).map(([name, tile]) => [name, this.texture(tile)]));
    this.beings = Array.from({ length: 8 }, () => this.texture(paintSprite(random, this.side)));
  }

  texture(canvas, nearest = this.nearest) {
    const texture = PIXI.Texture.from(canvas);
    texture.source.scaleMode = nearest ? "nearest" : "linear";
    return texture;
  }

  /** All tiles of a level. ground: what lies under the things in it. */
  lay(level, ground = "") {
    const map = new Container();
    level.forEach((row, y) => row.forEach((name, x) => {
      for (const tile of isThing(name) && ground ? [ground, name] : [name]) {
        if (!tile) continue;
        const sprite = map.addChild(new Sprite(this.tiles[tile]));
        sprite.position.set(x * this.side, y * this.side);
      }
    }));
    map.scale.set(this.zoom);
    return map;
  }

  being(random, parent, x, y, size = 1) {
    const sprite = parent.addChild(new Sprite(pick(random, this.beings)));
    sprite.anchor.set(0.5);
    sprite.position.set(x, y);
    sprite.scale.set(size);
    return sprite;
  }
}

const FONTS = ["DejaVu Sans", "DejaVu Sans Mono", "DejaVu Serif", "monospace", "serif"];

function addText(stage, random, words, x, y, size, more = {}) {
  const style = { fontFamily: pick(random, FONTS), fontSize: Math.round(size), fill: pick(random, [0xffffff, 0xffe080, 0x90e0ff]), ...more };
  const text = stage.addChild(new Text({ text: words, style, resolution: window.devicePixelRatio }));
  text.position.set(Math.round(x), Math.round(y));
  return text;
}

function addBackdrops(stage, random, look, width, height) {
  return paintBackdrops(random, look.palette, pick(random, [240, 320, 480]), 180).map((canvas) => {
    const layer = stage.addChild(new TilingSprite({ texture: look.texture(canvas), width, height }));
    layer.tileScale.set(height / 180);
    return layer;
  });
}

const WORLDS = {
  platform(stage, random, look, width, height) {
    const layers = addBackdrops(stage, random, look, width, height);
    const step = look.side * look.zoom, rows = Math.ceil(height / step), columns = Math.ceil(width / step) + 40;
    const map = stage.addChild(look.lay(makeSideLevel(random, columns, rows)));
    const beings = Array.from({ length: 9 }, () => look.being(random, map, between(random, 2, columns - 30) * look.side, between(random, 0.2, 0.6) * rows * look.side));
    const places = beings.map((being) => being.y);
    const dust = new Graphics();
    for (let i = 0; i < 40; i++) dust.circle(random() * width, random() * height, between(random, 0.5, 3)).fill({ color: 0xffffff, alpha: between(random, 0.1, 0.6) });
    if (random() < 0.5) stage.addChild(dust);
    addText(stage, random, `x ${floor(random() * 99)}`, 10, 8, height * 0.06, { stroke: { color: 0, width: 3 } });
    addText(stage, random, `WORLD ${1 + floor(random() * 8)}-${1 + floor(random() * 4)}`, width * 0.7, 8, height * 0.055);
    return (time) => {
      layers.forEach((layer, i) => (layer.tilePosition.x = -time * 7 * i));
      map.x = -time * 40;
      beings.forEach((being, i) => {
        being.y = places[i] + look.side * sin(3 * time + i);
        being.scale.x = i % 2 ? -1 : 1;
        being.rotation = i % 3 ? 0 : 0.3 * sin(time * 2);
      });
    };
  },

  shooter(stage, random, look, width, height) {
    const stars = stage.addChild(new Graphics());
    for (let i = 0; i < 150; i++) stars.rect(random() * width, random() * height, pick(random, [0.6, 1, 2]), pick(random, [0.6, 1, 2])).fill({ color: 0xffffff, alpha: random() });
    const planet = stage.addChild(new Graphics()), hue = floor(random() * 360);
    planet.circle(random() * width, random() * height, height * between(random, 0.1, 0.35)).fill(`hsl(${hue} 40% 30%)`).stroke({ color: `hsl(${hue} 60% 60%)`, width: 2 });
    const size = look.zoom * between(random, 1, 1.6), ships = [];
    const rows = 2 + floor(random() * 4);
    for (let row = 0; row < rows; row++) {
      const texture = pick(random, look.beings);
      for (let i = 0; i < 9; i++) {
        const ship = look.being(random, stage, ((i + 0.7) * width) / 10, height * (0.16 + 0.11 * row), size * 0.8);
        ship.texture = texture;
        if (random() < 0.15) ship.visible = false;
        ships.push(ship);
      }
    }
    const shots = stage.addChild(new Graphics());
    const sparks = Array.from({ length: 60 }, () => [random() * 2 * PI, random(), between(random, 1, 4)]);
    const blast = [random() * width, height * between(random, 0.2, 0.6)], me = look.being(random, stage, width / 2, height * 0.88, size);
    const beams = Array.from({ length: 18 }, () => [random() * width, random() * height, random() < 0.5]);
    addText(stage, random, String(floor(random() * 1e6)).padStart(7, "0"), 8, 5, height * 0.06);
    addText(stage, random, "HI 0250000", width * 0.62, 5, height * 0.06);
    return (time) => {
      ships.forEach((ship, i) => ship.position.set(((i % 9) + 0.7) * (width / 10) + 12 * sin(time * 2), height * (0.16 + 0.11 * floor(i / 9)) + 3 * sin(4 * time + i)));
      me.x = width * (0.5 + 0.35 * sin(time));
      shots.clear();
      for (const [x, y, mine] of beams) shots.roundRect(x, (((y + (mine ? -90 : 60) * time) % height) + height) % height, 2.5, mine ? 12 : 6, 1).fill(mine ? 0x80ffd0 : 0xff6060);
      for (const [turn, fast, wide] of sparks) {
        const away = 10 + 60 * fast * ((time * 0.6) % 1);
        shots.circle(blast[0] + away * cos(turn), blast[1] + away * sin(turn), wide).fill({ color: fast < 0.5 ? 0xffa030 : 0xffe080, alpha: 1 - fast * 0.7 });
      }
    };
  },

  cards(stage, random, look, width, height) {
    const felt = stage.addChild(new TilingSprite({ texture: look.tiles[pick(random, ["field", "wood", "floor", "sand"])], width, height }));
    felt.tileScale.set(pick(random, [1, 2, 3]));
    felt.tint = pick(random, [0xffffff, 0x80c080, 0x8080c0]);
    const high = height * between(random, 0.26, 0.34), wide = high * 0.7, cards = [];
    const names = ["Fire Imp", "Healer", "Storm", "Old Knight", "Forest", "Wyvern", "Potion", "Mirror"];
    const makeCard = (x, y, face) => {
      const card = stage.addChild(new Container()), hue = floor(random() * 360), body = card.addChild(new Graphics());
      body.roundRect(-wide / 2, -high / 2, wide, high, wide / 10).fill(face ? `hsl(${hue} 30% 88%)` : `hsl(${hue} 45% 30%)`).stroke({ color: 0x201810, width: pick(random, [1, 2]) });
      if (face) {
        body.rect(-wide * 0.4, -high * 0.26, wide * 0.8, high * 0.4).fill(`hsl(${hue} 50% 35%)`);
        look.being(random, card, 0, -high * 0.06, (high * 0.36) / look.side);
        addText(card, random, pick(random, names), -wide * 0.42, -high * 0.43, high * 0.1, { fill: 0x202020, fontFamily: "DejaVu Serif" });
        addText(card, random, `${floor(random() * 9)}/${floor(random() * 9)}`, wide * 0.08, high * 0.33, high * 0.11, { fill: 0x401010, fontWeight: "bold" });
        addText(card, random, "Draw a card.", -wide * 0.4, high * 0.19, high * 0.08, { fill: 0x303030 });
      } else for (let i = 0; i < 5; i++) body.circle(0, 0, (wide * (i + 1)) / 12).stroke({ color: `hsl(${hue} 60% 60%)`, width: 1 });
      card.position.set(x, y);
      cards.push([card, y, between(random, -0.06, 0.06)]);
    };
    for (let i = 0; i < 5; i++) makeCard(width * (0.14 + 0.18 * i), height * 0.2, random() < 0.4);
    for (let i = 0; i < 4; i++) makeCard(width * (0.2 + 0.2 * i), height * 0.5, true);
    for (let i = 0; i < 6; i++) makeCard(width * (0.14 + 0.14 * i), height * 0.84, true);
    addText(stage, random, `Mana ${floor(random() * 9)}/9    Turn ${floor(random() * 20)}`, 6, height * 0.64, height * 0.05, { stroke: { color: 0, width: 2 } });
    return (time) => cards.forEach(([card, y, turn], i) => {
      card.rotation = turn + 0.04 * sin(time + i);
      card.y = y + 4 * sin(2 * time + i);
    });
  },

  farm(stage, random, look, width, height) {
    const step = look.side * look.zoom, columns = Math.ceil(width / step) + 14, rows = Math.ceil(height / step) + 6;
    const indoors = random() < 0.35, level = makeTopLevel(random, columns, rows, indoors);
    const map = stage.addChild(look.lay(level, indoors ? "floor" : "field"));
    const beings = Array.from({ length: 14 }, () => look.being(random, map, random() * columns * look.side, random() * rows * look.side));
    const places = beings.map(({ x, y }) => [x, y]);
    if (random() < 0.4) {
      const dark = stage.addChild(new Graphics());
      dark.rect(0, 0, width, height).fill({ color: 0x081030, alpha: between(random, 0.25, 0.55) });
      for (let i = 0; i < 4; i++) dark.circle(random() * width, random() * height, 40).fill({ color: 0xffc060, alpha: 0.22 });
    }
    const bar = stage.addChild(new Graphics()), slot = height * 0.11;
    bar.roundRect(width / 2 - slot * 4.2, height - slot * 1.3, slot * 8.4, slot * 1.2, 4).fill({ color: 0x302010, alpha: 0.9 }).stroke({ color: 0xc09050, width: 2 });
    for (let i = 0; i < 8; i++) {
      const x = width / 2 + slot * (i - 3.5);
      bar.rect(x - slot * 0.44, height - slot * 1.14, slot * 0.88, slot * 0.88).stroke({ color: i === 2 ? 0xffffff : 0x806040, width: 1 });
      if (random() < 0.75) look.being(random, stage, x, height - slot * 0.7, (slot * 0.7) / look.side);
      if (random() < 0.5) addText(stage, random, floor(random() * 60), x, height - slot * 0.55, slot * 0.34, { stroke: { color: 0, width: 2 } });
    }
    addText(stage, random, `Day ${1 + floor(random() * 27)}  ${6 + floor(random() * 12)}:${pick(random, ["00", "20", "40"])}\n${floor(random() * 9000)} g`, width * 0.72, 6, height * 0.05, { fill: 0x402000, align: "right" });
    return (time) => {
      map.position.set(-step * (3 + 2 * sin(0.3 * time)), -step * (2 + cos(0.3 * time)));
      beings.forEach((being, i) => being.position.set(places[i][0] + 12 * sin(time + i), places[i][1] + 8 * cos(1.3 * time + i)));
    };
  },
};

import * as Phaser from "/npm/phaser/dist/phaser.esm.min.js";
import { addHud, between, isSmall, paintSprite, pick, seed } from "./art.js";
import { LETTERS, isThing, makeSideLevel, makeTopLevel, paintBackdrops, paintLetters, paintTiles, pickPalette, TILE_NAMES } from "./flat.js";

const { PI, sin, cos, floor } = Math;

export async function start(scene) {
  const random = seed(`phaser ${scene}`), ratio = window.devicePixelRatio, pixelArt = random() < 0.6;
  const width = window.innerWidth, height = window.innerHeight;
  let move;
  const game = await new Promise((ready) => {
    new Phaser.Game({
      type: Phaser.WEBGL,
      scale: { width: width * ratio, height: height * ratio, zoom: 1 / ratio, mode: Phaser.Scale.NONE },
      render: { antialias: !pixelArt, antialiasGL: random() < 0.4 && isSmall(), roundPixels: false, preserveDrawingBuffer: true },
      backgroundColor: floor(random() * 0x303030),
      audio: { noAudio: true },
      banner: false,
      scene: {
        create() {
          const camera = this.cameras.main;
          camera.setOrigin(0, 0).setZoom(ratio);
          move = WORLDS[scene.split("-")[0]](this, random, new Look(this, random), width, height);
          ready(this.game);
        },
      },
    });
  });
  game.loop.stop();
  if (random() < 0.3) addHud(random);
  return (number) => {
    move(number / 30);
    game.step((number * 1000) / 30, 1000 / 30);
  };
}

class Look {
  constructor(scene, random) {
    this.scene = scene;
    this.random = random;
    this.palette = pickPalette(random);
    this.side = pick(random, [8, 16, 16, 16, 32]);
    this.zoom = pick(random, [10, 12, 16, 16, 20, 26]) / this.side;
    if (random() < 0.4) this.zoom = Math.max(1, Math.round(this.zoom));
    const { sheet, tiles } = paintTiles(random, this.palette, this.side);
    scene.textures.addCanvas("tiles", sheet);
    for (const [name, tile] of Object.entries(tiles)) scene.textures.addCanvas(name, tile);
    for (let i = 0; i < 8; i++) scene.textures.addCanvas(`being${i}`, paintSprite(random, this.side));
    scene.textures.addCanvas("letters", paintLetters(random));
    const font = { image: "letters", width: 8, height: 12, chars: LETTERS, charsPerRow: 16, spacing: { x: 0, y: 0 }, offset: { x: 0, y: 0 }, lineSpacing: 0 };
    scene.cache.bitmapFont.add("letters", Phaser.GameObjects.RetroFont.Parse(scene, font));
  }

  /** A tilemap in layers: the ground under everything first, where there is one. */
  lay(level, ground = "") {
    const { scene, side } = this, number = (name) => TILE_NAMES.indexOf(name);
    const grounds = level.map((row) => row.map((name) => number(isThing(name) ? ground : name)));
    const things = level.map((row) => row.map((name) => (isThing(name) ? number(name) : -1)));
    return [grounds, things].map((data) => {
      const map = scene.make.tilemap({ data, tileWidth: side, tileHeight: side });
      return map.createLayer(0, map.addTilesetImage("tiles", "tiles", side, side), 0, 0).setScale(this.zoom).setSkipCull(true); // it culls wrongly where a camera zooms about its corner
    });
  }

  being(x, y, size = this.zoom) {
    return this.scene.add.image(x, y, `being${floor(this.random() * 8)}`).setScale(size);
  }

  backdrops(width, height) {
    return paintBackdrops(this.random, this.palette, pick(this.random, [240, 320, 480]), 180).map((canvas, i) => {
      this.scene.textures.addCanvas(`layer${i}`, canvas);
      return this.scene.add.tileSprite(0, 0, width, height, `layer${i}`).setOrigin(0).setTileScale(height / 180);
    });
  }

  text(words, x, y, size) {
    const { scene, random } = this, colour = pick(random, ["#ffffff", "#ffdd66", "#88ddff", "#ff9988"]);
    if (random() < 0.5) return scene.add.bitmapText(Math.round(x), Math.round(y), "letters", words).setScale(Math.max(1, size / 12)).setTint(Phaser.Display.Color.HexStringToColor(colour).color);
    const style = { fontFamily: pick(random, ["DejaVu Sans", "DejaVu Serif", "DejaVu Sans Mono"]), fontSize: `${Math.round(size)}px`, color: colour, resolution: window.devicePixelRatio };
    if (random() < 0.5) Object.assign(style, { stroke: "#000", strokeThickness: 2 });
    return scene.add.text(Math.round(x), Math.round(y), words, style);
  }

  /** Particles of an emitter that has run for three seconds. */
  sparks(x, y, colour) {
    const { scene, random } = this;
    const settings = { lifespan: 900, speed: { min: 10, max: 70 }, gravityY: between(random, -60, 60), quantity: 1, frequency: 25 };
    return scene.add.particles(x, y, pick(random, ["coin", "flower", "being0"]), { ...settings, advance: 3000, tint: colour, scale: { start: (4 * between(random, 0.6, 2)) / this.side, end: 0 } });
  }
}

const WORLDS = {
  dungeon(scene, random, look, width, height) {
    const step = look.side * look.zoom, columns = Math.ceil(width / step) + 10, rows = Math.ceil(height / step) + 8, indoors = random() < 0.65;
    const layers = look.lay(makeTopLevel(random, columns, rows, indoors), indoors ? "floor" : "field");
    const beings = Array.from({ length: 16 }, () => [look.being(0, 0), random() * columns * step, random() * rows * step]);
    const fires = [1, 2, 3].map(() => [look.sparks(0, 0, pick(random, [0xffaa44, 0x66ccff, 0xffffff])), random() * width, random() * height]);
    const dark = scene.add.graphics();
    if (indoors && random() < 0.6) {
      dark.fillStyle(0x000010, between(random, 0.2, 0.5)).fillRect(0, 0, width, height);
      for (let i = 6; i > 0; i--) dark.fillStyle(0xffcc88, 0.05).fillCircle(width / 2, height / 2, height * 0.07 * i);
    }
    const panel = scene.add.graphics();
    panel.fillStyle(0x181020, 0.85).fillRoundedRect(4, height * 0.86, width * 0.4, height * 0.12, 4);
    panel.lineStyle(1, 0xc0a060).strokeRoundedRect(4, height * 0.86, width * 0.4, height * 0.12, 4);
    panel.fillStyle(0xc03030).fillRect(10, height * 0.88, width * between(random, 0.1, 0.37), height * 0.03);
    panel.fillStyle(0x3060c0).fillRect(10, height * 0.93, width * between(random, 0.1, 0.37), height * 0.03);
    look.text(`Depth ${1 + floor(random() * 20)}`, 8, 6, height * 0.06);
    look.text(pick(random, ["The door is locked.", "You hit the slime.", "A cold wind blows.", "+12 gold"]), width * 0.42, height * 0.89, height * 0.055);
    return (time) => {
      const x = -step * (3 + 2 * sin(0.4 * time)), y = -step * (2 + 2 * cos(0.4 * time));
      layers.forEach((layer) => layer.setPosition(x, y));
      beings.forEach(([being, bx, by], i) => being.setPosition(x + bx + 9 * sin(time + i), y + by + 9 * cos(time * 1.2 + i)).setFlipX(i % 2 > 0));
      fires.forEach(([fire, fx, fy]) => fire.setPosition(x + fx, y + fy));
    };
  },

  puzzle(scene, random, look, width, height) {
    const back = scene.add.tileSprite(0, 0, width, height, pick(random, ["wood", "block", "water", "field", "brick"])).setOrigin(0).setTileScale(pick(random, [1, 2, 3])).setTint(pick(random, [0x666688, 0x886666, 0x668866, 0xffffff]));
    const cells = pick(random, [6, 7, 8, 10]), size = (height * 0.86) / cells, left = width * 0.05, top = height * 0.07, kind = pick(random, ["gems", "beings", "blocks"]);
    const board = scene.add.graphics().fillStyle(0x101020, 0.75).fillRoundedRect(left - 4, top - 4, size * cells + 8, size * cells + 8, 6);
    board.lineStyle(1, 0xffffff, 0.15);
    const pieces = [], paints = Array.from({ length: 5 }, (_, i) => Phaser.Display.Color.HSVToRGB((i / 5 + random() / 9) % 1, 0.7, 0.95).color);
    for (let y = 0; y < cells; y++)
      for (let x = 0; x < cells; x++) {
        const px = left + (x + 0.5) * size, py = top + (y + 0.5) * size, which = floor(random() * 5);
        board.strokeRect(px - size / 2, py - size / 2, size, size);
        if (random() < 0.08) continue;
        let piece;
        if (kind === "beings") piece = scene.add.image(px, py, `being${which}`).setScale((size * 0.85) / look.side);
        else if (kind === "blocks") piece = scene.add.image(px, py, "block").setScale((size * 0.95) / look.side).setTint(paints[which]);
        else if (which === 0) piece = scene.add.star(px, py, 5, size * 0.2, size * 0.42, paints[0]);
        else if (which === 1) piece = scene.add.circle(px, py, size * 0.38, paints[1]);
        else piece = scene.add.polygon(px, py, Array.from({ length: which + 2 }, (_, i) => [size * (0.4 + 0.38 * cos((2 * PI * i) / (which + 2))), size * (0.4 + 0.38 * sin((2 * PI * i) / (which + 2)))]).flat(), paints[which]);
        if (kind === "gems") piece.setStrokeStyle(1.5, 0xffffff, 0.7);
        pieces.push(piece);
      }
    const right = left + size * cells + width * 0.05;
    look.text("SCORE", right, top, height * 0.07);
    look.text(String(floor(random() * 99999)), right, top + height * 0.1, height * 0.08);
    look.text(`Level ${1 + floor(random() * 60)}`, right, top + height * 0.3, height * 0.06);
    look.text(pick(random, ["Moves 14", "Time 0:47", "Combo x3"]), right, top + height * 0.42, height * 0.06);
    for (const [i, words] of ["Hint", "Pause"].entries()) {
      const y = top + height * (0.58 + 0.15 * i);
      scene.add.graphics().fillStyle(pick(random, [0x3070c0, 0x30a060, 0xc06030])).fillRoundedRect(right, y, width * 0.24, height * 0.12, pick(random, [2, 8])).lineStyle(1, 0xffffff).strokeRoundedRect(right, y, width * 0.24, height * 0.12, 4);
      look.text(words, right + 10, y + height * 0.025, height * 0.06);
    }
    look.sparks(left + size * 3, top + size * 3, 0xffffff);
    return (time) => {
      back.tilePositionX = 4 * time;
      pieces.forEach((piece, i) => i % 7 === 0 && piece.setAngle(12 * sin(2 * time + i)));
    };
  },

  runner(scene, random, look, width, height) {
    const backs = look.backdrops(width, height), step = look.side * look.zoom, columns = Math.ceil(width / step) + 50;
    const rows = Math.ceil(height / step), layers = look.lay(makeSideLevel(random, columns, rows));
    const beings = Array.from({ length: 8 }, () => [look.being(0, 0), between(random, 0.1, 1.6) * width, between(random, 0.2, 0.75) * height]);
    const trail = look.sparks(width * 0.3, height * 0.6, 0xffeecc);
    look.text(`${floor(random() * 3000)} m`, width * 0.42, 6, height * 0.08);
    look.text(`Best ${floor(random() * 9000)}`, 8, 6, height * 0.05);
    for (let i = 0; i < 3; i++) scene.add.image(width - 14 - 16 * i, 14, "flower").setScale(14 / look.side);
    return (time) => {
      backs.forEach((back, i) => (back.tilePositionX = time * 9 * i));
      layers.forEach((layer) => (layer.x = -60 * time));
      trail.y = height * (0.6 + 0.1 * sin(time));
      beings.forEach(([being, x, y], i) => being.setPosition(x - (i ? 60 : 0) * time, y + step * sin(3 * time + i)).setAngle(i % 3 ? 0 : 20 * sin(4 * time)));
    };
  },

  tower(scene, random, look, width, height) {
    const ground = pick(random, ["field", "sand", "floor"]), cell = pick(random, [16, 20, 24, 30]), scale = cell / look.side;
    const columns = Math.ceil(width / cell), rows = Math.ceil(height / cell);
    const bend = between(random, 0.3, 0.9), way = (x) => Math.round(rows / 2 + rows * 0.25 * sin(bend * x));
    for (let y = 0; y < rows; y++)
      for (let x = 0; x < columns; x++) {
        const on = Math.abs(way(x) - y) < 1;
        scene.add.image((x + 0.5) * cell, (y + 0.5) * cell, on ? "soil" : ground).setScale(scale);
        if (!on && random() < 0.1) scene.add.image((x + 0.5) * cell, (y + 0.5) * cell, pick(random, ["tree", "flower", "block"])).setScale(scale);
      }
    const guns = Array.from({ length: 9 }, () => {
      const x = between(random, 1, columns - 1) * cell, y = way(floor(x / cell)) * cell + pick(random, [-1, 2]) * cell;
      scene.add.image(x, y, "brick").setScale(scale);
      const range = random() < 0.2 ? scene.add.circle(x, y, cell * 2.5, 0xffffff, 0.12).setStrokeStyle(1, 0xffffff, 0.6) : null;
      const turret = scene.add.container(x, y, [scene.add.rectangle(cell * 0.25, 0, cell * 0.7, cell * 0.2, 0x303840), scene.add.circle(0, 0, cell * 0.3, floor(random() * 0xffffff)).setStrokeStyle(1.5, 0x101010)]);
      return { turret, range };
    });
    const foes = Array.from({ length: 14 }, (_, i) => ({ body: look.being(0, 0, scale * 0.8), bar: scene.add.rectangle(0, 0, cell * 0.7, 2, pick(random, [0x40ff40, 0xff4040])), at: i * between(random, 0.6, 1.2) }));
    const beams = scene.add.graphics();
    scene.add.rectangle(0, 0, width, height * 0.11, 0x202028, 0.85).setOrigin(0);
    look.text(`$ ${floor(random() * 900)}   Lives ${floor(random() * 20)}   Wave ${floor(random() * 40)}/40`, 8, height * 0.025, height * 0.055);
    return (time) => {
      beams.clear();
      foes.forEach(({ body, bar, at }) => {
        const x = (time * 1.4 + at * 2) % columns, y = (way(floor(x)) * (1 - (x % 1)) + way(floor(x) + 1) * (x % 1) + 0.5) * cell;
        body.setPosition(x * cell, y);
        bar.setPosition(x * cell, y - cell * 0.55);
      });
      guns.forEach(({ turret }, i) => {
        const foe = foes[(i * 5) % foes.length].body;
        turret.rotation = Math.atan2(foe.y - turret.y, foe.x - turret.x);
        if (i % 3 === 0) beams.lineStyle(1.5, 0xffff80, 0.9).lineBetween(turret.x, turret.y, foe.x, foe.y);
      });
    };
  },
};

import "/npm/babylonjs/babylon.js";
import "/npm/babylonjs-procedural-textures/babylonjs.proceduralTextures.js";
import "/npm/babylonjs-gui/babylon.gui.js";
import { between, isSmall, pick, seed } from "./art.js";

const B = window.BABYLON, { PI, sin, cos } = Math;

export async function start(scene) {
  const random = seed(`babylon ${scene}`), canvas = document.createElement("canvas");
  canvas.style.cssText = "width: 100vw; height: 100vh";
  document.body.append(canvas);
  const smooth = random() < 0.4 && isSmall();
  const engine = new B.Engine(canvas, smooth, { preserveDrawingBuffer: true, adaptToDeviceRatio: true }, true);
  engine.resize();
  const world = new B.Scene(engine);
  const camera = new B.UniversalCamera("eye", B.Vector3.Zero(), world);
  camera.fov = between(random, 0.7, 1.2);
  camera.maxZ = 600;
  const look = new Look(world, random);
  const move = WORLDS[scene.split("-")[0]](world, random, camera, look);
  if (random() < 0.8) addPanel(random);
  await world.whenReadyAsync();
  return (number) => {
    move(number / 30);
    world.render();
  };
}

const PAINTED = ["WoodProceduralTexture", "BrickProceduralTexture", "MarbleProceduralTexture", "RoadProceduralTexture", "GrassProceduralTexture", "CloudProceduralTexture", "PerlinNoiseProceduralTexture", "StarfieldProceduralTexture"];

class Look {
  constructor(world, random) {
    this.world = world;
    this.random = random;
    this.sampling = pick(random, [B.Texture.NEAREST_SAMPLINGMODE, B.Texture.BILINEAR_SAMPLINGMODE, B.Texture.TRILINEAR_SAMPLINGMODE, B.Texture.TRILINEAR_SAMPLINGMODE]);
  }

  material(kind, repeat = 1) {
    const { world, random } = this, material = new B.StandardMaterial(kind, world);
    const drawn = new B[kind](kind, pick(random, [128, 256]), world, undefined, true);
    drawn.uScale = drawn.vScale = repeat;
    drawn.refreshRate = 0; // once
    drawn.updateSamplingMode(this.sampling);
    material.diffuseTexture = drawn;
    material.specularPower = between(random, 8, 90);
    material.specularColor = B.Color3.White().scale(random() * 0.6);
    return material;
  }

  plain() {
    const material = new B.StandardMaterial("plain", this.world);
    material.diffuseColor = B.Color3.FromHSV(this.random() * 360, between(this.random, 0.3, 0.9), between(this.random, 0.4, 1));
    material.specularColor = B.Color3.White().scale(0.4);
    return material;
  }

  any(repeat = 1) {
    return this.random() < 0.5 ? this.plain() : this.material(pick(this.random, PAINTED.slice(0, 5)), repeat);
  }
}

function light(world, random, dark = false) {
  const sky = new B.HemisphericLight("sky", new B.Vector3(0.2, 1, 0.1), world);
  sky.intensity = dark ? 0.35 : between(random, 0.6, 0.9);
  const sun = new B.DirectionalLight("sun", new B.Vector3(between(random, -1, 1), -1, between(random, -1, 1)), world);
  sun.intensity = dark ? 0.2 : 0.7;
  const c = B.Color3.FromHSV(between(random, 195, 230), between(random, 0.2, 0.6), dark ? 0.05 : between(random, 0.5, 1));
  world.clearColor = new B.Color4(c.r, c.g, c.b, 1);
  if (random() < 0.4) {
    world.fogMode = B.Scene.FOGMODE_EXP2;
    world.fogDensity = between(random, 0.004, 0.02);
    world.fogColor = c;
  }
}

const WORLDS = {
  track(world, random, camera, look) {
    light(world, random);
    const grass = B.MeshBuilder.CreateGround("grass", { width: 400, height: 400 }, world);
    grass.material = look.material("GrassProceduralTexture", 60);
    const bend = between(random, 30, 70), wave = between(random, 1.5, 4), amount = between(random, 0.1, 0.3);
    const at = (a) => new B.Vector3(bend * (1 + amount * sin(wave * a)) * cos(a), 0.05, bend * (1 + amount * sin(wave * a)) * sin(a));
    const sides = [-5, 5].map((side) => Array.from({ length: 181 }, (_, i) => at((i * PI) / 90).scale(1 + side / bend)));
    const road = B.MeshBuilder.CreateRibbon("road", { pathArray: sides, sideOrientation: B.Mesh.DOUBLESIDE }, world);
    road.material = look.material("RoadProceduralTexture", 30);
    for (let i = 0; i < 90; i++) {
      const a = (i * PI) / 45, post = B.MeshBuilder.CreateBox("post", { width: 0.5, height: 1.1, depth: 0.5 }, world);
      post.position = at(a).scale(1 + (i % 2 ? 6 : -6) / bend);
      post.material = i % 4 < 2 ? look.plain() : look.material("BrickProceduralTexture", 1);
      if (random() < 0.6) {
        const stem = B.MeshBuilder.CreateCylinder("stem", { height: 3, diameter: 0.5, tessellation: 7 }, world);
        stem.position = at(a).scale(1 + pick(random, [-1, 1]) * between(random, 9, 22) / bend);
        stem.material = look.material("WoodProceduralTexture", 1);
        const crown = B.MeshBuilder.CreateIcoSphere("crown", { radius: between(random, 1.2, 2.6), subdivisions: 2 }, world);
        crown.position = stem.position.add(new B.Vector3(0, 3, 0));
        crown.material = look.material("GrassProceduralTexture", 2);
      }
    }
    const cars = Array.from({ length: 6 }, (_, i) => {
      const car = new B.TransformNode("car", world), paint = look.plain();
      const part = (w, h, d, x, y, z, material) => {
        const box = B.MeshBuilder.CreateBox("part", { width: w, height: h, depth: d }, world);
        box.position.set(x, y, z);
        box.material = material;
        box.parent = car;
      };
      part(1.8, 0.6, 3.8, 0, 0.6, 0, paint);
      part(1.5, 0.55, 1.7, 0, 1.15, -0.2, look.plain());
      for (const x of [-0.9, 0.9]) for (const z of [-1.2, 1.2]) {
        const wheel = B.MeshBuilder.CreateCylinder("wheel", { height: 0.3, diameter: 0.8 }, world);
        wheel.rotation.z = PI / 2;
        wheel.position.set(x, 0.4, z);
        wheel.material = look.material("MarbleProceduralTexture", 1);
        wheel.parent = car;
      }
      return { car, ahead: 0.12 * (i + 1), side: between(random, -3, 3) };
    });
    const begin = random() * 6;
    return (time) => {
      const now = begin + 0.12 * time;
      for (const { car, ahead, side } of cars) {
        const a = now + ahead;
        car.position = at(a).scale(1 + side / bend);
        car.lookAt(at(a + 0.01).scale(1 + side / bend));
      }
      camera.position = at(now).add(new B.Vector3(0, 2.2, 0));
      camera.setTarget(at(now + 0.2).add(new B.Vector3(0, 1, 0)));
    };
  },

  cave(world, random, camera, look) {
    light(world, random, true);
    const rock = look.material(pick(random, ["MarbleProceduralTexture", "PerlinNoiseProceduralTexture", "BrickProceduralTexture"]), 6);
    const rings = Array.from({ length: 40 }, (_, z) => Array.from({ length: 21 }, (_, i) => {
      const r = 4 + 1.6 * random(), a = (i % 20) * (PI / 10);
      return new B.Vector3(r * cos(a) + 3 * sin(z / 5), r * 0.8 * sin(a), z * 3);
    }).map((spot, i, ring) => (i === 20 ? ring[0] : spot)));
    const tunnel = B.MeshBuilder.CreateRibbon("tunnel", { pathArray: rings, sideOrientation: B.Mesh.DOUBLESIDE }, world);
    tunnel.material = rock;
    rock.maxSimultaneousLights = 6;
    for (let i = 0; i < 4; i++) {
      const lamp = new B.PointLight("lamp", new B.Vector3(3 * sin((i * 24) / 15) + between(random, -2, 2), between(random, -1, 2), 8 + i * 14), world);
      lamp.diffuse = B.Color3.FromHSV(random() * 360, 0.6, 1);
      lamp.range = 26;
      lamp.intensity = 1.3;
    }
    const gems = Array.from({ length: 30 }, () => {
      const z = between(random, 4, 80), gem = B.MeshBuilder.CreatePolyhedron("gem", { type: Math.floor(random() * 8), size: between(random, 0.2, 0.7) }, world);
      gem.position.set(3 * sin(z / 15) + between(random, -2.5, 2.5), between(random, -2.2, 2), z);
      gem.material = look.plain();
      gem.material.emissiveColor = gem.material.diffuseColor.scale(0.4);
      return gem;
    });
    const begin = between(random, 0, 20);
    return (time) => {
      const z = begin + 5 * time;
      gems.forEach((gem, i) => gem.rotation.set(time, i + 2 * time, 0));
      camera.position.set(3 * sin(z / 15), 0.3, z);
      camera.setTarget(new B.Vector3(3 * sin((z + 9) / 15), 0, z + 9));
    };
  },

  garden(world, random, camera, look) {
    light(world, random);
    const ground = B.MeshBuilder.CreateGround("ground", { width: 120, height: 120 }, world);
    ground.material = look.material("GrassProceduralTexture", 30);
    for (let i = 0; i < 7; i++) {
      const wall = B.MeshBuilder.CreateBox("wall", { width: between(random, 6, 18), height: between(random, 2, 7), depth: 1.2 }, world);
      wall.position.set(between(random, -22, 22), 2, between(random, 8, 40));
      wall.rotation.y = pick(random, [0, PI / 2, 0.4]);
      wall.material = look.material(pick(random, ["BrickProceduralTexture", "MarbleProceduralTexture", "WoodProceduralTexture"]), 3);
    }
    for (let i = 0; i < 60; i++) {
      const flower = B.MeshBuilder.CreateSphere("flower", { diameter: between(random, 0.3, 1), segments: 6 }, world);
      flower.position.set(between(random, -15, 15), between(random, 0.3, 1), between(random, 2, 28));
      flower.material = look.plain();
      const stem = B.MeshBuilder.CreateCylinder("stem", { height: flower.position.y * 2, diameter: 0.06 }, world);
      stem.position.set(flower.position.x, 0, flower.position.z);
      stem.material = look.material("GrassProceduralTexture", 1);
    }
    const knots = [0, 1, 2].map((i) => {
      const knot = B.MeshBuilder.CreateTorusKnot("knot", { radius: 1, tube: 0.35, radialSegments: 90, tubularSegments: 20, p: 2 + i, q: 3 }, world);
      knot.position.set(5 * i - 5, 2.4, 14);
      knot.material = look.any(2);
      return knot;
    });
    return (time) => {
      knots.forEach((knot, i) => knot.rotation.set(0.7 * time + i, time, 0));
      camera.position.set(6 * sin(0.35 * time), 2 + sin(0.5 * time), -3);
      camera.setTarget(new B.Vector3(2 * sin(0.6 * time), 1.6, 14));
    };
  },

  arena(world, random, camera, look) {
    light(world, random, random() < 0.4);
    const floor = B.MeshBuilder.CreateGround("floor", { width: 70, height: 70 }, world);
    floor.material = look.material(pick(random, ["MarbleProceduralTexture", "BrickProceduralTexture", "WoodProceduralTexture"]), 12);
    for (let i = 0; i < 24; i++) {
      const a = (i * PI) / 12, column = B.MeshBuilder.CreateCylinder("column", { height: 8, diameterTop: 1, diameterBottom: 1.5, tessellation: 10 }, world);
      column.position.set(26 * cos(a), 4, 26 * sin(a));
      column.material = look.material("MarbleProceduralTexture", 2);
      const banner = B.MeshBuilder.CreatePlane("banner", { width: 3, height: 4, sideOrientation: B.Mesh.DOUBLESIDE }, world);
      banner.position.set(24 * cos(a + 0.13), 4.5, 24 * sin(a + 0.13));
      banner.lookAt(new B.Vector3(0, 4.5, 0));
      const sign = new B.DynamicTexture("sign", { width: 128, height: 170 }, world, true);
      const paint = new B.StandardMaterial("sign", world);
      sign.drawText(pick(random, ["I", "IV", "XII", "VII", "A", "Z"]), null, null, "bold 90px serif", "#ffe", `hsl(${Math.round(random() * 360)} 70% 35%)`);
      paint.diffuseTexture = sign;
      banner.material = paint;
    }
    const fighters = Array.from({ length: 12 }, (_, i) => {
      const body = B.MeshBuilder.CreateCapsule("body", { height: 2, radius: 0.5 }, world);
      body.material = look.any(1);
      const head = B.MeshBuilder.CreateSphere("head", { diameter: 0.7 }, world);
      head.position.y = 1.3;
      head.material = look.plain();
      const shield = B.MeshBuilder.CreateDisc("shield", { radius: 0.6, sideOrientation: B.Mesh.DOUBLESIDE }, world);
      shield.position.set(0.6, 0.2, 0.4);
      shield.material = look.any(1);
      head.parent = shield.parent = body;
      return { body, away: between(random, 3, 15), a: random() * 6, turn: between(random, -0.5, 0.5) };
    });
    return (time) => {
      for (const { body, away, a, turn } of fighters) {
        body.position.set(away * cos(a + turn * time), 1, away * sin(a + turn * time));
        body.rotation.y = a - 2 * time;
      }
      camera.position.set(17 * cos(0.2 * time), 4, 17 * sin(0.2 * time));
      camera.setTarget(new B.Vector3(0, 1.2, 0));
    };
  },
};

/** An interface of its own kind, so that tests see other text than training. */
function addPanel(random) {
  const ui = B.GUI.AdvancedDynamicTexture.CreateFullscreenUI("ui");
  ui.renderScale = 1;
  ui.idealHeight = pick(random, [360, 480, 600]); // lays out for this height, whatever the canvas has
  const text = (words, x, y, size) => {
    const block = new B.GUI.TextBlock("text", words);
    block.color = pick(random, ["white", "gold", "lime", "orange"]);
    block.fontSize = size;
    block.fontFamily = pick(random, ["DejaVu Sans", "DejaVu Serif"]);
    block.textHorizontalAlignment = x;
    block.textVerticalAlignment = y;
    block.paddingLeft = block.paddingRight = block.paddingTop = block.paddingBottom = "12px";
    ui.addControl(block);
  };
  text(`POS ${1 + Math.floor(random() * 8)}/8`, B.GUI.Control.HORIZONTAL_ALIGNMENT_LEFT, B.GUI.Control.VERTICAL_ALIGNMENT_TOP, 26);
  text(`${Math.floor(random() * 280)} km/h`, B.GUI.Control.HORIZONTAL_ALIGNMENT_RIGHT, B.GUI.Control.VERTICAL_ALIGNMENT_BOTTOM, 32);
  if (random() < 0.5) text(pick(random, ["Round two", "Hold the gate", "New record!", "Collect the gems"]), B.GUI.Control.HORIZONTAL_ALIGNMENT_CENTER, B.GUI.Control.VERTICAL_ALIGNMENT_TOP, 22);
  if (random() < 0.6) {
    const gauge = new B.GUI.Slider("gauge");
    Object.assign(gauge, { minimum: 0, maximum: 1, value: random(), width: "160px", height: "16px", color: "crimson", background: "#222", isThumbClamped: true, displayThumb: false });
    gauge.horizontalAlignment = B.GUI.Control.HORIZONTAL_ALIGNMENT_LEFT;
    gauge.verticalAlignment = B.GUI.Control.VERTICAL_ALIGNMENT_BOTTOM;
    gauge.left = "14px";
    gauge.top = "-14px";
    ui.addControl(gauge);
  }
}

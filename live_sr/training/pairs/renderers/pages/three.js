import * as THREE from "three";
import { DRACOLoader } from "three/addons/loaders/DRACOLoader.js";
import { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";
import { addHud, between, isSmall, paintSprite, paintSurface, pick, seed, SURFACE_NAMES } from "./art.js";

const { PI, sin, cos } = Math;

export async function start(scene) {
  const random = seed(scene), world = new THREE.Scene();
  const smooth = random() < 0.35; // an antialiased canvas, in the small picture alone
  const renderer = new THREE.WebGLRenderer({ antialias: smooth && isSmall(), preserveDrawingBuffer: true });
  renderer.setPixelRatio(window.devicePixelRatio);
  renderer.setSize(window.innerWidth, window.innerHeight);
  renderer.toneMapping = pick(random, [THREE.NoToneMapping, THREE.NoToneMapping, THREE.ACESFilmicToneMapping, THREE.ReinhardToneMapping]);
  renderer.shadowMap.enabled = random() < 0.5;
  document.body.append(renderer.domElement);
  const camera = new THREE.PerspectiveCamera(between(random, 45, 90), window.innerWidth / window.innerHeight, 0.1, 900);
  const look = new Look(random, renderer);
  const move = await WORLDS[scene.split("-")[0]](world, random, camera, look);
  if (random() < 0.75) addHud(random);
  return (number) => {
    move(number / 30);
    renderer.render(world, camera);
  };
}

/** How surfaces are drawn: one way for a whole scene. */
class Look {
  constructor(random, renderer) {
    this.random = random;
    this.filter = pick(random, ["nearest", "linear", "mipmap", "mipmap", "anisotropic"]);
    this.most = renderer.capabilities.getMaxAnisotropy();
    this.kind = pick(random, [THREE.MeshLambertMaterial, THREE.MeshStandardMaterial, THREE.MeshPhongMaterial]);
  }

  texture(name, repeat = 1) {
    const texture = new THREE.CanvasTexture(paintSurface(name, this.random));
    texture.wrapS = texture.wrapT = THREE.RepeatWrapping;
    texture.repeat.set(repeat, repeat);
    texture.colorSpace = THREE.SRGBColorSpace;
    if (this.filter === "nearest") texture.magFilter = texture.minFilter = THREE.NearestFilter;
    if (this.filter === "linear") texture.minFilter = THREE.LinearFilter;
    if (this.filter === "anisotropic") texture.anisotropy = Math.min(8, this.most);
    return texture;
  }

  surface(name, repeat, more = {}) {
    return new this.kind({ map: this.texture(name, repeat), ...more });
  }

  plain(hue = this.random() * 360) {
    return new this.kind({ color: new THREE.Color(`hsl(${Math.round(hue)}, 60%, ${Math.round(between(this.random, 30, 70))}%)`) });
  }
}

function addSun(world, random, power = 2.5) {
  const sky = new THREE.Color(`hsl(${Math.round(between(random, 190, 240))}, 50%, ${Math.round(between(random, 12, 75))}%)`);
  world.background = sky;
  if (random() < 0.5) world.fog = new THREE.Fog(sky, between(random, 5, 30), between(random, 60, 160));
  world.add(new THREE.HemisphereLight(0xbbddff, 0x443322, between(random, 0.6, 1.6)));
  const sun = new THREE.DirectionalLight(0xfff2dd, power);
  sun.position.set(between(random, -40, 40), between(random, 25, 60), between(random, -40, 40));
  sun.castShadow = true;
  sun.shadow.mapSize.set(1024, 1024);
  Object.assign(sun.shadow.camera, { left: -50, right: 50, top: 50, bottom: -50, far: 200 });
  world.add(sun);
}

function addMesh(world, geometry, material, x, y, z) {
  const mesh = new THREE.Mesh(geometry, material);
  mesh.position.set(x, y, z);
  mesh.castShadow = mesh.receiveShadow = true;
  world.add(mesh);
  return mesh;
}

function makeTree(look, random) {
  const tree = new THREE.Group(), height = between(random, 2, 5), round = random() < 0.5;
  addMesh(tree, new THREE.CylinderGeometry(0.15, 0.25, height, 6), look.surface("planks", 1), 0, height / 2, 0);
  const leaves = round ? new THREE.IcosahedronGeometry(height / 2.2, 1) : new THREE.ConeGeometry(height / 3, height, 7);
  addMesh(tree, leaves, look.surface("ground", 2), 0, height * 1.1, 0);
  return tree;
}

const WORLDS = {
  town(world, random, camera, look) {
    addSun(world, random);
    const ground = addMesh(world, new THREE.PlaneGeometry(200, 200), look.surface(pick(random, ["stone", "tiles", "ground"]), 40), 0, 0, 0);
    ground.rotation.x = -PI / 2;
    const walls = [1, 2, 3, 4].map(() => look.surface(pick(random, ["brick", "windows", "planks", "stone"]), pick(random, [1, 2, 3])));
    for (let x = -4; x <= 4; x++)
      for (let z = -6; z <= 2; z++) {
        if (x === 0 || random() < 0.15) continue;
        const height = between(random, 3, 16);
        addMesh(world, new THREE.BoxGeometry(between(random, 5, 7.5), height, between(random, 5, 7.5)), pick(random, walls), x * 9, height / 2, z * 9);
        if (random() < 0.4) addMesh(world, new THREE.ConeGeometry(5.2, 3, 4), look.surface("brick", 4), x * 9, height + 1.5, z * 9).rotation.y = PI / 4;
      }
    for (let i = 0; i < 14; i++) {
      const tree = makeTree(look, random);
      tree.position.set(pick(random, [-3.6, 3.6]), 0, between(random, -50, 15));
      world.add(tree);
      const crate = look.surface("crate", 1);
      addMesh(world, new THREE.BoxGeometry(1.2, 1.2, 1.2), crate, between(random, -3, 3), 0.6, between(random, -40, 5)).rotation.y = random() * PI;
    }
    const begin = between(random, 0, 15), side = between(random, -1.5, 1.5);
    return (time) => {
      camera.position.set(side + sin(time), 1.8 + 0.1 * sin(6 * time), begin - 3 * time);
      camera.rotation.set(0.02 * sin(time), 0.5 * sin(0.9 * time), 0);
    };
  },

  hills(world, random, camera, look) {
    addSun(world, random, 3);
    const waves = Array.from({ length: 6 }, () => [between(random, 0.02, 0.2), between(random, 0.02, 0.2), random() * 6, between(random, 0.5, 2)]);
    const height = (x, z) => waves.reduce((sum, [a, b, c, d]) => sum + d * sin(a * x + b * z + c), 0);
    const geometry = new THREE.PlaneGeometry(240, 240, 110, 110).rotateX(-PI / 2), spots = geometry.attributes.position;
    for (let i = 0; i < spots.count; i++) spots.setY(i, height(spots.getX(i), spots.getZ(i)));
    geometry.computeVertexNormals();
    addMesh(world, geometry, look.surface("ground", between(random, 20, 60)), 0, 0, 0);
    const water = new THREE.MeshPhongMaterial({ color: 0x336688, transparent: true, opacity: 0.7, shininess: 90 });
    addMesh(world, new THREE.PlaneGeometry(240, 240), water, 0, -1.5, 0).rotation.x = -PI / 2;
    const trees = [1, 2, 3].map(() => makeTree(look, random));
    for (let i = 0; i < 160; i++) {
      const x = between(random, -80, 80), z = between(random, -80, 80);
      if (height(x, z) < -1) continue;
      const tree = pick(random, trees).clone();
      tree.position.set(x, height(x, z), z);
      tree.rotation.y = random() * PI;
      world.add(tree);
    }
    const sprite = new THREE.CanvasTexture(paintSprite(random, 24));
    sprite.magFilter = sprite.minFilter = THREE.NearestFilter;
    sprite.colorSpace = THREE.SRGBColorSpace;
    for (let i = 0; i < 20; i++) {
      const beast = new THREE.Sprite(new THREE.SpriteMaterial({ map: sprite, alphaTest: 0.5 }));
      const x = between(random, -25, 25), z = between(random, -25, 25);
      beast.scale.setScalar(2);
      beast.position.set(x, height(x, z) + 1, z);
      world.add(beast);
    }
    const turn = random() * 6;
    return (time) => {
      const x = 22 * sin(0.08 * time + turn), z = 22 * cos(0.08 * time + turn);
      camera.position.set(x, height(x, z) + 3, z);
      camera.lookAt(0.3 * x + 6 * sin(time), height(0, 0) + 2, 0.3 * z - 8);
    };
  },

  hall(world, random, camera, look) {
    world.background = new THREE.Color(0x050508);
    world.add(new THREE.AmbientLight(0x8899bb, between(random, 0.3, 1.2)));
    const wall = look.surface(pick(random, SURFACE_NAMES), 4), floor = look.surface(pick(random, ["tiles", "stone", "metal", "planks"]), 8);
    addMesh(world, new THREE.PlaneGeometry(14, 90), floor, 0, 0, 0).rotation.x = -PI / 2;
    addMesh(world, new THREE.PlaneGeometry(14, 90), look.surface("metal", 6), 0, 6, 0).rotation.x = PI / 2;
    for (const side of [-1, 1]) addMesh(world, new THREE.PlaneGeometry(90, 6), wall, side * 7, 3, 0).rotation.y = (-side * PI) / 2;
    addMesh(world, new THREE.PlaneGeometry(14, 6), look.surface("windows", 1), 0, 3, -45);
    const pillar = look.surface(pick(random, ["stone", "metal", "brick"]), 2);
    for (let z = -40; z < 40; z += between(random, 4, 8)) {
      for (const side of [-4.5, 4.5]) addMesh(world, new THREE.CylinderGeometry(0.5, 0.6, 6, 12), pillar, side, 3, z);
      if (random() < 0.6) {
        const lamp = new THREE.PointLight(new THREE.Color(`hsl(${Math.round(random() * 360)}, 70%, 70%)`), between(random, 20, 70), 22);
        lamp.position.set(between(random, -3, 3), 4.5, z);
        if (world.children.filter((child) => child.isPointLight).length < 6) world.add(lamp);
      }
      if (random() < 0.7) addMesh(world, new THREE.BoxGeometry(1.4, 1.4, 1.4), look.surface("crate", 1), between(random, -5, 5), 0.7, z).rotation.y = random();
    }
    const knots = [1, 2, 3].map((i) => addMesh(world, new THREE.TorusKnotGeometry(0.6, 0.2, 90, 12), look.plain(), between(random, -3, 3), 1.6, -9 * i));
    const begin = between(random, 5, 35);
    return (time) => {
      knots.forEach((knot, i) => knot.rotation.set(time, i + time, 0));
      camera.position.set(2 * sin(0.7 * time), 1.7, begin - 4 * time);
      camera.rotation.set(0, 0.4 * sin(0.8 * time + 1), 0);
    };
  },

  space(world, random, camera, look) {
    world.background = new THREE.Color(0x02020a);
    world.add(new THREE.AmbientLight(0x445566, 0.8));
    const sun = new THREE.DirectionalLight(0xffffff, 3);
    sun.position.set(30, 20, 10);
    world.add(sun);
    for (let i = 0; i < 500; i++) {
      const star = new THREE.Mesh(new THREE.OctahedronGeometry(between(random, 0.2, 0.9), 0), new THREE.MeshBasicMaterial({ color: 0xffffff }));
      star.position.setFromSphericalCoords(350, Math.acos(2 * random() - 1), random() * 2 * PI);
      world.add(star);
    }
    for (let i = 0; i < 3; i++)
      addMesh(world, new THREE.SphereGeometry(between(random, 4, 25), 40, 30), look.surface(pick(random, ["stone", "ground", "tiles"]), 2), between(random, -60, 60), between(random, -25, 25), between(random, -140, -50));
    const rocks = Array.from({ length: 70 }, () => addMesh(world, new THREE.DodecahedronGeometry(between(random, 0.4, 3), 1), look.surface("stone", 1), between(random, -30, 30), between(random, -15, 15), between(random, -70, -6)));
    const ships = Array.from({ length: 7 }, () => {
      const ship = new THREE.Group();
      addMesh(ship, new THREE.ConeGeometry(0.7, 3, 5), look.surface("metal", 1), 0, 0, 0).rotation.x = -PI / 2;
      addMesh(ship, new THREE.BoxGeometry(3.4, 0.12, 0.9), look.plain(), 0, 0, 0.5);
      addMesh(ship, new THREE.SphereGeometry(0.35, 12, 8), new THREE.MeshBasicMaterial({ color: 0xff8833 }), 0, 0, 1.6);
      ship.position.set(between(random, -12, 12), between(random, -6, 6), between(random, -35, -7));
      world.add(ship);
      return ship;
    });
    return (time) => {
      rocks.forEach((rock, i) => rock.rotation.set(0.3 * time, i, 0.2 * time));
      ships.forEach((ship, i) => ship.rotation.set(0, 0, 0.6 * sin(time + i)));
      camera.position.set(sin(time), cos(time), 0);
      camera.rotation.set(0.1 * sin(time), 0.15 * cos(time), 0.1 * sin(0.5 * time));
    };
  },

  async models(world, random, camera, look) {
    addSun(world, random);
    const art = async (path) => (await import(`/npm/@pmndrs/assets/${path}.js`)).default;
    const number = () => String(Math.floor(random() * 12)).padStart(4, "0");
    const loader = new GLTFLoader().setDRACOLoader(new DRACOLoader().setDecoderPath("/npm/three/examples/jsm/libs/draco/gltf/"));
    const load = (address) => new THREE.TextureLoader().loadAsync(address);
    const ground = addMesh(world, new THREE.PlaneGeometry(60, 60), look.surface(pick(random, SURFACE_NAMES), 12), 0, 0, 0);
    ground.rotation.x = -PI / 2;
    for (let i = 0; i < 9; i++) {
      const { scene: model } = await loader.loadAsync(await art(`models/${pick(random, ["bunny.glb", "suzi.glb"])}`));
      const shade = random() < 0.5
        ? new THREE.MeshMatcapMaterial({ matcap: await load(await art(`matcaps/${number()}.webp`)) })
        : look.surface(pick(random, SURFACE_NAMES), 1, { normalMap: await load(await art(`normals/${number()}.webp`)) });
      model.traverse((part) => part.isMesh && ((part.material = shade), (part.castShadow = true)));
      const box = new THREE.Box3().setFromObject(model), size = box.getSize(new THREE.Vector3());
      model.scale.multiplyScalar(between(random, 1.5, 3) / Math.max(size.x, size.y, size.z));
      model.position.set((i % 3) * 3.4 - 3.4 + between(random, -0.5, 0.5), between(random, 0.8, 1.4), -Math.floor(i / 3) * 3.6);
      model.rotation.y = random() * 6;
      world.add(model);
    }
    return (time) => {
      camera.position.set(6 * sin(0.3 * time), 2.6, 4.5 + cos(0.3 * time));
      camera.lookAt(0, 1, -3);
    };
  },
};

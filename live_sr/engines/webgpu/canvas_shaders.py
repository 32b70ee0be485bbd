"""The shaders that draw a window, in WGSL: the picture as large as its place, and sprites over it.

They resize as `filters.engine.resize` does, so that a picture looks the same whichever way it takes to the screen:
bicubic where it is enlarged; where it shrinks, averages of areas or bilinear interpolation. The picture before
upscaling is enlarged without interpolation.
"""

PICTURE = """
struct Screen {
  place: vec4<i32>,     // where in the window the picture is: x, y, width, height
  size: vec2<i32>,      // of the upscaled picture
  original: vec2<i32>,  // size of the picture before
  divider: vec4<i32>,   // columns of the place from the left with the picture before; begin and end of the line
};
@group(0) @binding(0) var<uniform> screen: Screen;
@group(0) @binding(1) var upscaled: texture_2d<f32>;
@group(0) @binding(2) var original: texture_2d<f32>;

@vertex fn vertex(@builtin(vertex_index) number: u32) -> @builtin(position) vec4<f32> {
  return vec4<f32>(f32(number & 1u) * 4.0 - 1.0, f32(number >> 1u) * 4.0 - 1.0, 0.0, 1.0);
}

@fragment fn fragment(@builtin(position) position: vec4<f32>) -> @location(0) vec4<f32> {
  let at = vec2<i32>(floor(position.xy)) - screen.place.xy;
  if (at.x < 0 || at.y < 0 || at.x >= screen.place.z || at.y >= screen.place.w) {
    return vec4<f32>(0.0, 0.0, 0.0, 1.0);
  }
  if (at.x >= screen.divider.y && at.x < screen.divider.z) { return vec4<f32>(1.0); }
  if (at.x < screen.divider.x) { return vec4<f32>(resize(original, screen.original, at, true).zyx, 1.0); }
  return vec4<f32>(resize(upscaled, screen.size, at, false).zyx, 1.0);
}

fn resize(picture: texture_2d<f32>, size: vec2<i32>, at: vec2<i32>, plain: bool) -> vec4<f32> {
  let room = screen.place.zw;
  if (all(size == room)) { return textureLoad(picture, at, 0); }
  let step = vec2<f32>(size) / vec2<f32>(room);
  if (any(room > size)) {
    if (plain) { return load(picture, size, at * size / room); }
    return enlarge(picture, size, (vec2<f32>(at) + 0.5) * step - 0.5);
  }
  if (all(size % room == vec2<i32>()) || any(room * 2 < size)) { return average(picture, size, at, step); }
  return interpolate(picture, size, (vec2<f32>(at) + 0.5) * step - 0.5);
}

fn load(picture: texture_2d<f32>, size: vec2<i32>, at: vec2<i32>) -> vec4<f32> {
  return textureLoad(picture, clamp(at, vec2<i32>(), size - 1), 0);
}

fn enlarge(picture: texture_2d<f32>, size: vec2<i32>, point: vec2<f32>) -> vec4<f32> {
  let corner = vec2<i32>(floor(point));
  let across = weigh(point.x - floor(point.x));
  let down = weigh(point.y - floor(point.y));
  var sum = vec4<f32>();
  for (var y = 0; y < 4; y++) {
    for (var x = 0; x < 4; x++) {
      sum += across[x] * down[y] * load(picture, size, corner + vec2<i32>(x - 1, y - 1));
    }
  }
  return clamp(sum, vec4<f32>(), vec4<f32>(1.0));
}

// The weights of four neighbours for a point that lies t behind the second one: cubic convolution with a = -0.75.
fn weigh(t: f32) -> array<f32, 4> {
  let a = -0.75;
  let u = 1.0 - t;
  let first = ((a * (t + 1.0) - 5.0 * a) * (t + 1.0) + 8.0 * a) * (t + 1.0) - 4.0 * a;
  let second = ((a + 2.0) * t - (a + 3.0)) * t * t + 1.0;
  let third = ((a + 2.0) * u - (a + 3.0)) * u * u + 1.0;
  return array<f32, 4>(first, second, third, 1.0 - first - second - third);
}

fn interpolate(picture: texture_2d<f32>, size: vec2<i32>, point: vec2<f32>) -> vec4<f32> {
  let corner = vec2<i32>(floor(point));
  let part = point - floor(point);
  let above = mix(load(picture, size, corner), load(picture, size, corner + vec2<i32>(1, 0)), part.x);
  let below = mix(load(picture, size, corner + vec2<i32>(0, 1)), load(picture, size, corner + 1), part.x);
  return mix(above, below, part.y);
}

fn average(picture: texture_2d<f32>, size: vec2<i32>, at: vec2<i32>, step: vec2<f32>) -> vec4<f32> {
  let begin = vec2<f32>(at) * step;
  let end = begin + step;
  var sum = vec4<f32>();
  for (var y = i32(floor(begin.y)); y < i32(ceil(end.y)); y++) {
    let high = min(end.y, f32(y + 1)) - max(begin.y, f32(y));
    for (var x = i32(floor(begin.x)); x < i32(ceil(end.x)); x++) {
      let wide = min(end.x, f32(x + 1)) - max(begin.x, f32(x));
      sum += wide * high * load(picture, size, vec2<i32>(x, y));
    }
  }
  return sum / (step.x * step.y);
}
"""

SPRITE = """
struct Place {
  corner: vec2<f32>,  // where the sprite begins in the window, in pixels
  size: vec2<f32>,
  room: vec2<f32>,
};
@group(0) @binding(0) var<uniform> place: Place;
@group(0) @binding(1) var sprite: texture_2d<f32>;

@vertex fn vertex(@builtin(vertex_index) number: u32) -> @builtin(position) vec4<f32> {
  let end = vec2<f32>(f32(number & 1u), f32(number >> 1u));
  let at = (place.corner + end * place.size) / place.room;
  return vec4<f32>(at.x * 2.0 - 1.0, 1.0 - at.y * 2.0, 0.0, 1.0);
}

@fragment fn fragment(@builtin(position) position: vec4<f32>) -> @location(0) vec4<f32> {
  let at = vec2<i32>(floor(position.xy - place.corner));
  return textureLoad(sprite, clamp(at, vec2<i32>(), vec2<i32>(place.size) - 1), 0).zyxw;
}
"""

// The programs of the graphics card, in GLSL; locations of their inputs are looked up in draw.js.
// symbol: 0 disc, 1 square, 2 triangle, 3 diamond; state: 0 plain, 1 chosen, 2 marked.

// dim: 1 while there is a selection, so that what is not in it steps back.
// deep: 1 in three dimensions, where what is far is smaller and paler.
export const POINT_VERTEX = `#version 300 es
in vec3 place; in float group; in float symbol; in float state;
uniform mat3 turn; uniform vec2 scale; uniform vec2 shift;
uniform float size; uniform float dim; uniform float deep; uniform sampler2D palette;
out vec4 ink; flat out float shape;
void main() {
  vec3 p = turn * place;
  gl_Position = vec4(p.xy * scale + shift, p.z * 0.2, 1.0);
  float larger = state > 1.5 ? 2.4 : state > 0.5 ? 1.35 : 1.0;
  gl_PointSize = size * larger * (1.0 - 0.25 * deep * p.z);
  ink = texelFetch(palette, ivec2(int(group), 0), 0);
  if (state < 0.5 && dim > 0.5) ink = vec4(mix(ink.rgb, vec3(0.5), 0.75), ink.a * 0.35);
  ink.rgb = mix(ink.rgb, vec3(0.6), deep * clamp(0.25 + 0.3 * p.z, 0.0, 0.6));
  shape = symbol;
}`;

// d is the distance from the middle of the symbol, 1 at its edge.
export const POINT_FRAGMENT = `#version 300 es
precision mediump float;
in vec4 ink; flat in float shape; out vec4 colour;
void main() {
  vec2 p = gl_PointCoord * 2.0 - 1.0;
  float d = shape < 0.5 ? length(p)
    : shape < 1.5 ? max(abs(p.x), abs(p.y)) * 1.15
    : shape < 2.5 ? max(abs(p.x) * 1.2 + p.y * 0.6, -p.y) + 0.1
    : abs(p.x) + abs(p.y);
  if (d > 1.0) discard;
  colour = vec4(ink.rgb * ink.a, ink.a);
}`;

export const LINE_VERTEX = `#version 300 es
in vec3 place; uniform mat3 turn; uniform vec2 scale; uniform vec2 shift;
void main() {
  vec3 p = turn * place;
  gl_Position = vec4(p.xy * scale + shift, p.z * 0.2, 1.0);
}`;

export const LINE_FRAGMENT = `#version 300 es
precision mediump float;
uniform vec4 ink; out vec4 colour;
void main() { colour = ink; }`;

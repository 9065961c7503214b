import { expect, test } from 'vitest';
import { load } from './fixtures.ts';

const rows: [string, string[]][] = [
  ['image: a', ['shop_web']],
  ['deploy: { replicas: 3 }', []],
  ['scale: 3', []],
  ['deploy: { replicas: 3 }\n    x-shoal-keep-scale: true', ['shop_web']],
  ['deploy: { mode: replicated-job }', []],
];

test.each(rows)('whether a service with `%s` keeps its scale', async (line, kept) => {
  const text = `name: shop\nservices:\n  web:\n    image: a\n    ${line === 'image: a' ? 'user: a' : line}\n`;
  const { application } = await load(text);
  expect(application.keepsScale ?? []).toEqual(kept);
});

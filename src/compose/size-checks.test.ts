import { expect, test } from 'vitest';
import { execStringBytesMax } from '../spec/exec-limits.ts';
import { faultsOf, load, summary } from './fixtures.ts';

const wayOut = 'put it into a config or a secret, and let the program read the file';
const web = (attribute: string) => `services:\n  web:\n    image: nginx\n    ${attribute}\n`;

test('a variable is as long as Linux takes it, with its name and in bytes, and no longer', async () => {
  const value = 'ä'.repeat((execStringBytesMax - 'BLOB='.length) / 2);
  await load(web('environment: { BLOB: "${BLOB}" }'), { environment: { BLOB: value } });
  const faults = await faultsOf(web('environment: { BLOB: "${BLOB}x" }'), { environment: { BLOB: value } });
  expect(summary(faults)).toEqual([
    `4:26 services.web.environment.BLOB: the variable BLOB with its name has 131,072 bytes, and Linux takes at most 131,071 bytes; ${wayOut}`,
  ]);
});

test.each([
  ['command: [echo, "${BLOB}"]', '4:21 services.web.command[1]'],
  ['entrypoint: [echo, "${BLOB}"]', '4:24 services.web.entrypoint[1]'],
  ['healthcheck: { test: [CMD, echo, "${BLOB}"] }', '4:38 services.web.healthcheck.test[2]'],
  ['post_start: [{ command: [echo, "${BLOB}"] }]', '4:36 services.web.post_start[0].command[1]'],
])('%s is refused when the argument is longer', async (attribute, place) => {
  const environment = { BLOB: 'x'.repeat(execStringBytesMax + 1) };
  const [fault] = summary(await faultsOf(web(attribute), { environment }));
  expect(fault).toBe(
    `${place}: the argument has 131,072 bytes, and Linux takes at most 131,071 bytes; ${wayOut}`,
  );
});

test('arguments and environment together have a limit, too', async () => {
  const names = Array.from({ length: 30 }, (_, index) => `V${index}: "\${BLOB}"`);
  const text = web(`environment: { ${names.join(', ')} }`);
  const [fault] = summary(await faultsOf(text, { environment: { BLOB: 'x'.repeat(100_000) } }));
  expect(fault).toMatch(
    /^4:5 services\.web\.environment: arguments and environment have 3,000,\d+ bytes together, and Linux takes at most 2,031,616 bytes/,
  );
});

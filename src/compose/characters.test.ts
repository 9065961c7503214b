import { describe, expect, it } from 'vitest';
import { renderDiagnostics } from './diagnostic.ts';
import { faultsOf, load, summary } from './fixtures.ts';

/** Files and names in characters that are not what they seem. */

const lines = async (text: string, disk = {}) => summary(await faultsOf(text, { disk })).join('\n');
const web = 'services:\n  web:\n    image: nginx\n';
const utf16 = (text: string, bigEndian = false) => {
  const bytes = Buffer.from(`\ufeff${text}`, 'utf16le');
  return new Uint8Array(bigEndian ? bytes.swap16() : bytes);
};

describe('a file', () => {
  it('may begin with a byte order mark, and end its lines as Windows does', async () => {
    for (const text of [
      `\ufeff${web}`,
      web.replaceAll('\n', '\r\n'),
      `\ufeff${web.replaceAll('\n', '\r\n')}`,
    ]) {
      const { canonical } = await load('', {
        disk: { '/app/a.yaml': Buffer.from(text) },
        files: [{ path: 'a.yaml' }],
      });
      expect(canonical.services['web']!.image).toBe('nginx');
    }
  });

  it('has its faults where they are, whatever its lines end with', async () => {
    const faulty = `${web}    prots: []\n`;
    for (const text of [faulty, faulty.replaceAll('\n', '\r\n'), `\ufeff${faulty}`]) {
      const faults = await faultsOf('', {
        disk: { '/app/a.yaml': Buffer.from(text) },
        files: [{ path: 'a.yaml' }],
      });
      expect(summary(faults)).toEqual(['4:5 services.web.prots: this key is not known; did you mean ports?']);
    }
  });

  it.each([
    ['UTF-16', utf16(web), '/app/a.yaml is UTF-16 text, and must be UTF-8'],
    ['UTF-16 of the other order', utf16(web, true), '/app/a.yaml is UTF-16 text, and must be UTF-8'],
    ['Latin-1', Buffer.from(`${web}# \u00e9`, 'latin1'), '/app/a.yaml is not UTF-8 text'],
  ])('is refused when it is %s', async (_, content, message) => {
    const [fault] = await faultsOf('', { disk: { '/app/a.yaml': content }, files: [{ path: 'a.yaml' }] });
    expect(fault).toMatchObject({ message, file: 'a.yaml', line: 1 });
  });

  it('of an environment is refused in the same way, where it is named', async () => {
    const disk = { '/app/a.env': utf16('A=1') };
    expect(await lines(`${web}    env_file: a.env\n`, disk)).toMatch(/^4:15 .*a.env is UTF-16 text/u);
  });

  it.each([
    ['tabs', 'services:\n\tweb:\n\t\timage: a\n', /^2:1 .*indent with spaces/u],
    ['a NUL', 'services: { web: { image: "a\u0000" } }', /NUL/u],
    ['a control character', 'services: { web: { image: a, user: "b" } }\u0007', /^1:\d+/u],
  ])('is refused with its place when it has %s', async (_, text, message) => {
    expect(await lines(text)).toMatch(message);
  });
});

describe('a name', () => {
  const odd: [string, string][] = [
    ['a control character', '\u001b'],
    ['a delete character', '\u007f'],
    ['a character that turns the text around', '\u202e'],
    ['an isolate', '\u2066'],
    ['a space of no width', '\u200b'],
    ['a joiner', '\u200d'],
    ['a soft hyphen', '\u00ad'],
    ['a byte order mark', '\ufeff'],
    ['a tag character', '\u{e0041}'],
    ['a line separator', '\u2028'],
  ];
  const places: [string, (name: string) => string][] = [
    ['of a service', (name) => `services: { "${name}": { image: a } }`],
    ['of a network', (name) => `services: { a: { image: a } }\nnetworks: { "${name}": }`],
    ['of a volume', (name) => `services: { a: { image: a } }\nvolumes: { "${name}": }`],
    ['of a secret', (name) => `services: { a: { image: a } }\nsecrets: { "${name}": { environment: A } }`],
    ['of a config', (name) => `services: { a: { image: a } }\nconfigs: { "${name}": { content: x } }`],
    ['of an attribute', (name) => `services: { a: { image: a, "${name}": b } }`],
    ['of a variable', (name) => `services: { a: { image: a, environment: { "${name}": b } } }`],
    ['of a variable in a list', (name) => `services: { a: { image: a, environment: ["${name}=b"] } }`],
    ['of a label', (name) => `services: { a: { image: a, labels: { "${name}": b } } }`],
    ['of an extension', (name) => `services: { a: { image: a } }\n"x-${name}": 1`],
    [
      'that a resource is given',
      (name) => `services: { a: { image: a } }\nvolumes: { v: { name: "${name}" } }`,
    ],
    ['of a profile', (name) => `services: { a: { image: a, profiles: ["${name}"] } }`],
    [
      'of a network’s alias',
      (name) => `services: { a: { image: a, networks: { default: { aliases: ["${name}"] } } } }`,
    ],
    ['of a host', (name) => `services: { a: { image: a, hostname: "${name}" } }`],
    ['of an image', (name) => `services: { a: { image: "${name}" } }`],
    ['of a stop signal', (name) => `services: { a: { image: a, stop_signal: "${name}" } }`],
  ];

  it.each(places)('%s has no character that cannot be seen', async (_, write) => {
    for (const [what, character] of odd) {
      // escaped, as a file can always hold it
      const codes = Array.from(character, (one) => `\\U${one.codePointAt(0)!.toString(16).padStart(8, '0')}`);
      const escaped = codes.join('');
      const faults = await faultsOf(write(`n${escaped}m`), { environment: { A: '1' } });
      expect(
        faults.map(({ line }) => line),
        what,
      ).not.toContain(0);
    }
  });

  it('that looks like an attribute is told apart from it', async () => {
    expect(await lines('services: { web: { \u0456mage: nginx } }')).toMatch(
      /this key is not known: its U\+0456 only looks like i; did you mean image\?/u,
    );
    expect(await lines('services: { web: { image: a, \u0440\u043erts: [] } }')).toMatch(
      /its U\+0440 only looks like p; did you mean ports\?/u,
    );
    expect(await lines('services: { web: { image: a, \uff55ser: me } }')).toMatch(
      /its U\+FF55 only looks like u; did you mean user\?/u,
    );
  });

  it('that is said in a message shows what cannot be seen', async () => {
    const faults = await faultsOf('services: { web: { image: a, user: "${a\u202eb}" } }');
    const shown = renderDiagnostics(faults);
    expect(shown).not.toContain('\u202e');
    expect(shown).toContain('\\u202e');
  });
});

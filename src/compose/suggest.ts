/** What people write for what Compose calls otherwise. */
const otherWords: Record<string, string> = {
  env: 'environment',
  environments: 'environment',
  args: 'command',
  cmd: 'command',
  replicas: 'deploy.replicas',
  resources: 'deploy.resources',
  limits: 'deploy.resources.limits',
  constraints: 'deploy.placement.constraints',
  update_config: 'deploy.update_config',
  restart_policy: 'deploy.restart_policy (or restart)',
  workdir: 'working_dir',
  mounts: 'volumes',
  memory_limit: 'mem_limit',
  health: 'healthcheck',
  depends: 'depends_on',
};

const wordCharactersMax = 64;

/** Letters of other scripts that look like one of ours (Unicode confusables, those of Cyrillic and Greek). */
const lookalikes = new Map(
  Object.entries({
    a: 'аα',
    b: 'Ьь',
    c: 'сϲ',
    d: 'ԁ',
    e: 'еεҽ',
    g: 'ɡց',
    h: 'һ',
    i: 'іιı',
    j: 'јϳ',
    k: 'кκ',
    l: 'ӏⅼ',
    m: 'м',
    n: 'ոп',
    o: 'оοσօ',
    p: 'рρ',
    q: 'ԛ',
    r: 'гᴦ',
    s: 'ѕ',
    t: 'тτ',
    u: 'υս',
    v: 'νѵ',
    w: 'ԝω',
    x: 'хχ',
    y: 'уγ',
    z: 'ᴢ',
  }).flatMap(([letter, others]) => Array.from(others, (other): [string, string] => [other, letter])),
);

/** The first letter of a word that is not what it looks like, as `U+0430`, and the letter that it looks like. */
export function lookalikeOf(word: string): { character: string; letter: string } | undefined {
  for (const character of word) {
    const letter = lookalikes.get(character) ?? asciiOf(character);
    if (letter === undefined) continue;
    const code = character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0');
    return { character: `U+${code}`, letter };
  }
  return undefined;
}

/** The plain letter of a full-width or decorated one. */
function asciiOf(character: string): string | undefined {
  if (character <= '\u007f') return undefined;
  const plain = character.normalize('NFKC');
  return /^[a-z0-9_]$/iu.test(plain) && plain <= '\u007f' ? plain : undefined;
}

/** The word in plain letters, as far as its own look like them. */
function inPlainLetters(word: string): string {
  const letters = Array.from(word, (one) => lookalikes.get(one) ?? asciiOf(one) ?? one);
  return letters.join('');
}

/** The known word that was most likely meant; undefined when none is near. */
export function suggest(word: string, known: readonly string[]): string | undefined {
  if (word.length > wordCharactersMax) return undefined;
  const lower = inPlainLetters(word).toLowerCase().replaceAll('-', '_');
  const limit = lower.length <= 4 ? 1 : 2;
  let best: { name: string; distance: number } | undefined;
  for (const name of known) {
    const distance = editDistance(lower, name);
    if (distance <= limit && (best === undefined || distance < best.distance)) best = { name, distance };
  }
  if (best !== undefined) return best.name;
  const other = Object.hasOwn(otherWords, lower) ? otherWords[lower] : undefined;
  return other !== undefined && known.includes(other.split(/[. ]/u)[0]!) ? other : undefined;
}

/** Insertions, deletions, replacements and swaps of neighbours between two words. */
function editDistance(left: string, right: string): number {
  if (Math.abs(left.length - right.length) > 2) return Infinity;
  const rows: number[][] = [Array.from({ length: right.length + 1 }, (_, column) => column)];
  for (let row = 1; row <= left.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= right.length; column += 1) {
      const same = left[row - 1] === right[column - 1];
      let best = Math.min(
        rows[row - 1]![column]! + 1,
        current[column - 1]! + 1,
        rows[row - 1]![column - 1]! + (same ? 0 : 1),
      );
      const swapped =
        row > 1 && column > 1 && left[row - 1] === right[column - 2] && left[row - 2] === right[column - 1];
      if (swapped) best = Math.min(best, rows[row - 2]![column - 2]! + 1);
      current.push(best);
    }
    rows.push(current);
  }
  return rows[left.length]![right.length]!;
}

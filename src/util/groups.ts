/**
 * Cuts texts into groups of at most so many characters and texts, in their order. One text that is longer than a group may be is a
 * group of its own; no group is empty.
 */
export function* groupsOf(
  texts: Iterable<string>,
  { charactersMax, textsMax }: { charactersMax: number; textsMax: number },
): Generator<string[], void, undefined> {
  let group: string[] = [];
  let characters = 0;
  for (const text of texts) {
    if (group.length > 0 && (group.length >= textsMax || characters + text.length > charactersMax)) {
      yield group;
      group = [];
      characters = 0;
    }
    group.push(text);
    characters += text.length;
  }
  if (group.length > 0) yield group;
}

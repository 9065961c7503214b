const plain = /^[\x20-\x7E]*$/u;
/** Controls, directions, fillers, joiners, variation selectors, an empty Braille cell, and all spaces but the plain one. */
const invisible =
  /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u2800\u00A0\u1680\u2000-\u200A\u202F\u205F\u3000]/u;

/** The first character of a name that nobody can see, or that turns the text around, as `U+202E`; undefined without one. */
export function invisibleCharacter(name: string): string | undefined {
  if (plain.test(name)) return undefined;
  const found = invisible.exec(name)?.[0].codePointAt(0);
  return found === undefined ? undefined : `U+${found.toString(16).toUpperCase().padStart(4, '0')}`;
}

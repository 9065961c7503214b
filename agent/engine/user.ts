import { ShoalError } from '../../src/util/errors.ts';

export interface ContainerUser {
  uid: number;
  gid: number;
  /** Other groups, without repetition, in order. */
  additionalGids: number[];
}

/** Text of an image's /etc/passwd and /etc/group; empty when it has none. */
export interface Accounts {
  passwd: string;
  group: string;
}

const idMax = 2 ** 31 - 1;

interface PasswdEntry {
  name: string;
  uid: number;
  gid: number;
}

interface GroupEntry {
  name: string;
  gid: number;
  members: string[];
}

/**
 * Resolves `USER[:GROUP]`, names or numbers, by an image's own files as Docker does: an unknown name is an error, an unknown
 * number is taken as it is, and without GROUP the user's own groups hold. Empty is root. `others` are groups that it is in
 * beside. Throws `invalid_argument`.
 */
export function resolveUser(text: string, accounts: Accounts, others: string[] = []): ContainerUser {
  const user = resolveAlone(text, accounts);
  if (others.length === 0) return user;
  const groups = parseGroup(accounts.group);
  const more = others.map((name) => {
    const gid = groups.find((entry) => entry.name === name)?.gid ?? toId(name);
    if (gid === undefined) throw unknown('group', name);
    return gid;
  });
  return { ...user, additionalGids: [...new Set([...user.additionalGids, ...more])] };
}

function resolveAlone(text: string, accounts: Accounts): ContainerUser {
  const [wantedUser = '', wantedGroup] = text.split(':', 2);
  const users = parsePasswd(accounts.passwd);
  const groups = parseGroup(accounts.group);
  const name = wantedUser === '' ? '0' : wantedUser;
  const number = toId(name);
  // a name of digits is a name first
  const user = users.find((entry) => entry.name === name) ?? users.find((entry) => entry.uid === number);
  if (!user && number === undefined) throw unknown('user', wantedUser);
  const uid = user?.uid ?? number!;
  if (wantedGroup !== undefined && wantedGroup !== '') {
    const groupNumber = toId(wantedGroup);
    const group = groups.find((entry) => entry.name === wantedGroup);
    if (!group && groupNumber === undefined) throw unknown('group', wantedGroup);
    return { uid, gid: group?.gid ?? groupNumber!, additionalGids: [] };
  }
  const gid = user?.gid ?? 0;
  const others = user ? groups.filter((entry) => entry.members.includes(user.name)) : [];
  const additionalGids = [...new Set(others.map((entry) => entry.gid))].filter((other) => other !== gid);
  return { uid, gid, additionalGids };
}

function unknown(kind: string, name: string): ShoalError {
  return new ShoalError('invalid_argument', `Cannot run as ${kind} ${name}: the image has no such ${kind}`, {
    next: `Use a ${kind} of the image's /etc/${kind === 'user' ? 'passwd' : 'group'}, or a number.`,
  });
}

function toId(text: string): number | undefined {
  if (!/^\d{1,10}$/.test(text)) return undefined;
  const id = Number(text);
  return id <= idMax ? id : undefined;
}

/** passwd(5): name, password, uid, gid, … Lines that are not that are passed over, as the C library does. */
function parsePasswd(text: string): PasswdEntry[] {
  return text.split('\n').flatMap((line) => {
    const [name = '', , uidText = '', gidText = ''] = line.split(':');
    const [uid, gid] = [toId(uidText), toId(gidText)];
    return name === '' || uid === undefined || gid === undefined ? [] : [{ name, uid, gid }];
  });
}

/** group(5): name, password, gid, members separated by commas. */
function parseGroup(text: string): GroupEntry[] {
  return text.split('\n').flatMap((line) => {
    const [name = '', , gidText = '', members = ''] = line.split(':');
    const gid = toId(gidText);
    return name === '' || gid === undefined ? [] : [{ name, gid, members: members.split(',') }];
  });
}

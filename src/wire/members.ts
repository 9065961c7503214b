/** Where a manager that wants a place in the store asks, with the certificate of its node. */
export const memberPath = '/member';

export interface MemberBody {
  /** The ports of its own etcd, at the address of its node. */
  ports: { client: number; peer: number };
  /** Its member of this id has lost its data for good, and may be removed. */
  lost?: string;
}

/** The keys with which a cluster seals what is secret in its store. Older ones open what was sealed with them. */
export interface SealingKeys {
  /** Which of them seals. */
  current: string;
  /** 32 bytes each in base64, by their id. */
  keys: Record<string, string>;
}

/** A place in the store. What is in it lets its holder read and change everything. */
export interface MemberAnswer {
  /** Which etcd this is; another one has another. */
  generation: string;
  authority: { certificatePem: string; privateKeyPem: string };
  /** Open what is sealed in the store. Absent where nothing is sealed. */
  sealing?: SealingKeys;
  /** Its own member. */
  memberId: string;
  /** Whether that member has answered before: then it has data, and must never begin without. */
  isStarted: boolean;
  /** All members, its own among them, as etcd must be started with. */
  members: { name: string; peerUrl: string }[];
  /** `HOST:PORT` of the client ports of members that have started. */
  endpoints: string[];
}

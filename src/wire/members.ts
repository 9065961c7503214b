/** Where a manager that wants a place in the store asks, with the certificate of its node. */
export const memberPath = '/member';

export interface MemberBody {
  /** The ports of its own etcd, at the address of its node. */
  ports: { client: number; peer: number };
  /** Its member of this id has lost its data for good, and may be removed. */
  lost?: string;
}

/** A place in the store. What is in it lets its holder read and change everything. */
export interface MemberAnswer {
  /** Which etcd this is; another one has another. */
  generation: string;
  authority: { certificatePem: string; privateKeyPem: string };
  /** Opens what is sealed in the store: 32 bytes each in base64, by their id, and which of them seals. Absent where nothing is sealed. */
  sealing?: { current: string; keys: Record<string, string> };
  /** Its own member. */
  memberId: string;
  /** Whether that member has answered before: then it has data, and must never begin without. */
  isStarted: boolean;
  /** All members, its own among them, as etcd must be started with. */
  members: { name: string; peerUrl: string }[];
  /** `HOST:PORT` of the client ports of members that have started. */
  endpoints: string[];
}

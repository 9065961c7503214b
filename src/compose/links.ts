/** An entry of `links`: another name for a service, known to the containers of one other service. */
export interface Link {
  /** Key of the service that it leads to. */
  service: string;
  alias: string;
}

/** Reads `SERVICE` or `SERVICE:ALIAS` (Compose specification, "links"). */
export function parseLink(text: string): Link {
  const [service = '', alias = service] = text.split(':');
  return { service, alias };
}

/** A random UUID, version 4; also where `crypto.randomUUID` is kept from pages (plain http). */
export function uuid(): string;

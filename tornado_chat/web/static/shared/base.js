// @ts-check
/**
 * The addresses of the server, which may be below a path of its host: `https://example.org/help/chat/room`.
 *
 * This file is at `static/HASH/shared/` below that path, so nothing has to be configured.
 *
 * @module
 */

const BASE = new URL("../../../", import.meta.url);

/**
 * The address of a path of the server, such as `/api/v1/status`.
 *
 * @param {string} path begins with a slash
 */
export function addressOf(path) {
  return new URL(path.slice(1), BASE).href;
}

/**
 * The address of a WebSocket.
 *
 * @param {string} path begins with a slash, and may have a query
 */
export function socketAddressOf(path) {
  return addressOf(path).replace(/^http/, "ws");
}

/**
 * The path of an address as the server knows it; empty if the address is not below the server's path.
 *
 * @param {URL} address
 */
export function serverPathOf(address) {
  return address.href.startsWith(BASE.href) ? `/${address.pathname.slice(BASE.pathname.length)}` : "";
}

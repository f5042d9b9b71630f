/* Everything that the package has, for those who want it by one name. */
export * from "./agent.js";
export * from "./api.js";
export * from "./clock.js";
export * from "./connection.js";
export * from "./feed.js";
export * from "./follow.js";
export * from "./market.js";
export * from "./retry.js";
export * from "./sse.js";
export * from "./streams.js";
export * from "./viewer.js";

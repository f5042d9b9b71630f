/* How pages follow: for ever, also where they may not at the moment. The server says something at least every 15 s. */
export const PATIENT = { silence: 25000, giveUp: () => false };

/* Every latency a worker keeps, declared once: H(name, help). Exported as ringside_<name>_seconds,
 * a Prometheus histogram with the bounds below. */
#pragma once

#define HISTOGRAMS(H)                                                                              \
	H(commit, "From writing a batch to the log until it is durable.")                          \
	H(append, "From handing an append to the store until it is durable and visible.")          \
	H(request, "From a request's head until the head of its answer; long-polls wait in it.")

/* Upper bounds, nanoseconds, and how they are written in seconds. Behind the last: everything. */
#define HISTOGRAM_BOUNDS(B)                                                                        \
	B(50000, "0.00005")                                                                        \
	B(100000, "0.0001")                                                                        \
	B(200000, "0.0002")                                                                        \
	B(400000, "0.0004")                                                                        \
	B(800000, "0.0008")                                                                        \
	B(1600000, "0.0016")                                                                       \
	B(3200000, "0.0032")                                                                       \
	B(6400000, "0.0064")                                                                       \
	B(12800000, "0.0128")                                                                      \
	B(25600000, "0.0256")                                                                      \
	B(51200000, "0.0512")                                                                      \
	B(102400000, "0.1024")                                                                     \
	B(409600000, "0.4096")                                                                     \
	B(1638400000, "1.6384")                                                                    \
	B(6553600000, "6.5536")

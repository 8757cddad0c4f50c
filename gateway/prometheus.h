/* A node's figures, as its method `metrics` tells them, in the text that Prometheus reads. */
#ifndef PAIL_PROMETHEUS_H
#define PAIL_PROMETHEUS_H

#include <stdbool.h>

#include "common/buf.h"
#include "include/pail.h"

#define PROMETHEUS_TYPE  "text/plain; version=0.0.4; charset=utf-8"
#define OPENMETRICS_TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"

/* Append the reply's map: as text format 0.0.4, or as OpenMetrics 1.0.0. */
void prometheus_write(struct pail_value metrics, bool openmetrics, struct buf *out);

#endif

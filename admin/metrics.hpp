// Role: ClusterStatus → metrics in the Prometheus text format.
// Thread: supervisor. Ownership: a ClusterMetrics refers to a status that outlives it; the rest are values.
#pragma once

#include "admin/process_usage.hpp"
#include "backends/status.hpp"

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include <string>
#include <vector>

namespace drover::admin {

/// One scrape: turns a copied state into families, by the catalogue.
class ClusterMetrics : public prometheus::Collectable {
 public:
  ClusterMetrics(const backends::ClusterStatus& status, const ProcessUsage& usage) : status_(status), usage_(usage) {}
  /// Families without a sample are left out.
  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  const backends::ClusterStatus& status_;
  const ProcessUsage& usage_;
};

std::string metrics_text(const backends::ClusterStatus& status);

}  // namespace drover::admin

// The speed of a cluster, of which a plan for more ranks is made: a YAML file that moe-bench measures, or that is
// written by hand (configs/networks).
#pragma once
#include <string>

#include "core/config/fields.h"

namespace moe {

// seconds = latency + bytes / rate
struct LinkConfig : Fields<LinkConfig> {
  double latency = 1e-5;
  double rate = 1e9;

  void fields(FieldVisitor& v) override;
};

struct ReductionConfig : Fields<ReductionConfig> {
  std::string kind = "direct";
  double share = 1;
  double latency = 0;

  void fields(FieldVisitor& v) override;
};

struct ComputeConfig : Fields<ComputeConfig> {
  double attention = 1e10, feed_forward = 1e10, experts = 1e10, head = 1e10;
  double backward = 2;
  double memory = 1e10;
  double passes = 20;
  double update = 32;
  double slowed = 1;
  double bytes = 0;

  void fields(FieldVisitor& v) override;
};

struct NetworkConfig : Fields<NetworkConfig> {
  std::string name = "unnamed";
  LinkConfig inside, between;
  double host_rate = 0;
  double message = 0;
  double exchange = 1;
  ReductionConfig reduction;
  ComputeConfig compute;

  void fields(FieldVisitor& v) override;
};

// Throws UsageError for a file that cannot be read or a value that is wrong.
NetworkConfig read_network(const std::string& path);
// The file's content, or the defaults where there is no file yet.
NetworkConfig read_network_or_default(const std::string& path);
// Throws CheckpointError.
void write_network(const std::string& path, NetworkConfig& network);

}  // namespace moe

#include "core/plan/network.h"

#include <filesystem>

#include "core/checkpoint/files.h"
#include "core/config/config_reader.h"
#include "core/config/config_tree.h"
#include "core/config/config_writer.h"
#include "core/config/field_walker.h"

namespace moe {

static constexpr double kFastest = 1e18;  // of any rate

void LinkConfig::fields(FieldVisitor& v) {
  v.field("latency", latency, "seconds of a message without bytes", {0, 100});
  v.field("rate", rate, "bytes per second", {1, kFastest});
}

void ReductionConfig::fields(FieldVisitor& v) {
  v.field("kind", kind,
          "how sums of gradients travel: direct = each rank sends the others' parts to them, and its own sums to all "
          "(MPI); ring = every host sends about twice the bytes of one gradient, through all links at once (NCCL)",
          {"direct", "ring"});
  v.field("share", share, "share of the links' rate that the sums reach", {0.001, 10});
  v.field("latency", latency, "seconds of a sum without bytes", {0, 100});
}

void ComputeConfig::fields(FieldVisitor& v) {
  v.field("attention", attention, "FLOP/s of attention with its projections, forward and backward together",
          {1, kFastest});
  v.field("feed_forward", feed_forward, "FLOP/s of dense feed-forward layers and shared experts", {1, kFastest});
  v.field("experts", experts, "FLOP/s of the routed experts", {1, kFastest});
  v.field("head", head, "FLOP/s of the output head with its loss", {1, kFastest});
  v.field("backward", backward, "seconds of backward per second of forward", {0.1, 10});
  v.field("memory", memory, "bytes per second that are read or written", {1, kFastest});
  v.field("passes", passes,
          "how often a block reads or writes its rows outside of these products, forward and backward: norms, residual "
          "connections, routing, sorting",
          {0, 10000});
  v.field("update", update, "bytes that an update reads and writes per parameter", {0, 1000});
  v.field("slowed", slowed,
          "factor by which computing takes longer while gradients travel, because the same cores move them", {1, 10});
  v.field("bytes", bytes, "memory of a device, in bytes; 0 = no limit", {0, kFastest});
}

void NetworkConfig::fields(FieldVisitor& v) {
  v.field("name", name, "what was measured or assumed");
  v.group("inside", inside, "A pair of ranks on one host.");
  v.group("between", between, "A pair of ranks on two hosts.");
  v.field("host_rate", host_rate,
          "bytes per second that a host sends to others, from all its ranks together; 0 = every rank has a link of its "
          "own",
          {0, kFastest});
  v.field("message", message, "seconds that each further message of an exchange takes", {0, 1});
  v.field("exchange", exchange, "share of the links' rate that an exchange of rows among all ranks reaches",
          {0.001, 10});
  v.group("reduction", reduction, "Sums of gradients.");
  v.group("compute", compute, "The speed of one rank.");
}

NetworkConfig read_network(const std::string& path) {
  NetworkConfig network;
  name_fields(network);
  read_config(read_config_file(path), network);
  return network;
}

NetworkConfig read_network_or_default(const std::string& path) {
  return std::filesystem::exists(path) ? read_network(path) : NetworkConfig();
}

void write_network(const std::string& path, NetworkConfig& network) {
  replace_shared_text(path, write_yaml(network, true));
}

}  // namespace moe

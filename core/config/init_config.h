// init: the initial weights of a run.
#pragma once
#include "core/config/fields.h"

namespace moe {

struct ClusterConfig : Fields<ClusterConfig> {
  int64_t tokens = 0;
  int64_t iterations = 30;
  double scale = 1;
  std::string experts = "fresh";

  void fields(FieldVisitor& v) override;
};

struct ReptileConfig : Fields<ReptileConfig> {
  int64_t rounds = 0;
  int64_t domains = 8;
  int64_t inner_steps = 5;
  double inner_rate = 0.02;
  double step_size = 0.5;
  std::string parameters = "experts";

  void fields(FieldVisitor& v) override;
};

struct InitConfig : Fields<InitConfig> {
  std::string from;
  std::string checkpoint = "last";
  double noise = 0;
  double reinitialise = 0;
  double scale = 1;
  double perturb = 0;
  int64_t perturb_seed = 1;
  ClusterConfig clusters;
  ReptileConfig reptile;

  void fields(FieldVisitor& v) override;
};

}  // namespace moe

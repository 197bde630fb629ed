#include "core/record/old_records.h"

#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "core/base/metric_keys.h"

namespace moe {

using nlohmann::json;

static void rename(json& object, const char* from, const char* to) {
  const auto found = object.find(from);
  if (found == object.end()) return;
  json value = std::move(*found);
  object.erase(found);
  object[to] = std::move(value);
}

// Schema 1, of version 0.1.0.
static void update_from_1(json& record) {
  if (record.value(metric_keys::kType, json()) == "life") record[metric_keys::kType] = metric_keys::kLifecycle;
  rename(record, "paced", metric_keys::kScheduled);
  rename(record, "dropped", metric_keys::kDroppedLoad);
  rename(record, "drop", metric_keys::kDropped);
  if (const auto measures = record.find(metric_keys::kMeasures); measures != record.end() && measures->is_object()) {
    rename(*measures, "agreement", "topk_overlap");
    rename(*measures, "distilled_agreement", "distilled_topk_overlap");
  }
}

void update_record(json& record) {
  if (!record.is_object()) return;
  const json schema = record.value(metric_keys::kSchema, json(1));
  if (schema.is_number_integer() && schema.get<int64_t>() == 1) update_from_1(record);
}

}  // namespace moe

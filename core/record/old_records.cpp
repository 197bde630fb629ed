#include "core/record/old_records.h"

#include <string>
#include <utility>

#include "core/base/json.h"
#include "core/base/metric_keys.h"

namespace moe {

static void rename(Json& object, const char* from, const char* to) {
  Json* found = object.find(from);
  if (!found) return;
  Json value = std::move(*found);
  object.erase(from);
  object[to] = std::move(value);
}

// Schema 1, of version 0.1.0.
static void update_from_1(Json& record) {
  if (record.value(metric_keys::kType, Json()) == "life") record[metric_keys::kType] = metric_keys::kLifecycle;
  rename(record, "paced", metric_keys::kScheduled);
  rename(record, "dropped", metric_keys::kDroppedLoad);
  rename(record, "drop", metric_keys::kDropped);
  if (Json* measures = record.find(metric_keys::kMeasures); measures && measures->is_object()) {
    rename(*measures, "agreement", "topk_overlap");
    rename(*measures, "distilled_agreement", "distilled_topk_overlap");
  }
}

void update_record(Json& record) {
  if (!record.is_object()) return;
  const Json schema = record.value(metric_keys::kSchema, Json(1));
  if (schema.is_integer() && schema.get<int64_t>() == 1) update_from_1(record);
}

}  // namespace moe

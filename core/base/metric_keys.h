// The keys of metrics.jsonl that both its writers and its readers use. When one is renamed, the schema's number goes
// up, and core/record/old_records.h translates records of earlier schemas.
#pragma once

namespace moe::metric_keys {

inline constexpr int kSchemaNumber = 2;

// Every record.
inline constexpr const char* kSchema = "schema";
inline constexpr const char* kType = "type";
inline constexpr const char* kStep = "step";
// The values of kType that readers look for.
inline constexpr const char* kTrain = "train";
inline constexpr const char* kEvaluation = "eval";
inline constexpr const char* kSample = "sample";
inline constexpr const char* kLifecycle = "lifecycle";
inline constexpr const char* kStopped = "stopped";
inline constexpr const char* kDiverged = "diverged";
inline constexpr const char* kAlarm = "alarm";
inline constexpr const char* kCheckpoint = "checkpoint";
inline constexpr const char* kPlacement = "placement";
inline constexpr const char* kCommunication = "communication";
inline constexpr const char* kTimeline = "timeline";

// Records of training and of evaluation.
inline constexpr const char* kTokens = "tokens";
inline constexpr const char* kLoss = "loss";
inline constexpr const char* kAuxiliary = "aux";
inline constexpr const char* kNorm = "norm";
inline constexpr const char* kLearningRate = "lr";
inline constexpr const char* kMilliseconds = "ms";
inline constexpr const char* kTokensPerSecond = "tokens_per_s";
inline constexpr const char* kCurriculum = "curriculum";
inline constexpr const char* kSources = "sources";      // by corpus of a mixture: "loss" and "share" of the samples
inline constexpr const char* kScheduled = "scheduled";  // values of quantities that follow a schedule, by key
inline constexpr const char* kBalance = "balance";
inline constexpr const char* kMeasures = "measures";
inline constexpr const char* kLoadMaxOverMean = "load_max_over_mean";
inline constexpr const char* kDead = "dead";
inline constexpr const char* kDropped = "dropped";  // share of the assignments, mean over layers
inline constexpr const char* kRouterEntropy = "router_entropy";
inline constexpr const char* kLoad = "load";                 // (layers, experts) shares of a layer's assignments
inline constexpr const char* kDroppedLoad = "dropped_load";  // likewise of those that were dropped
// (layers, modalities, experts) shares of the assignments of a modality's tokens
inline constexpr const char* kModalityLoad = "modality_load";
inline constexpr const char* kStride = "stride";
inline constexpr const char* kData = "data";
inline constexpr const char* kParts = "parts";  // of an evaluation: lists of sums over pieces of the set
inline constexpr const char* kCorrect = "correct";

// Records of kLifecycle.
inline constexpr const char* kKind = "kind";
inline constexpr const char* kLayer = "layer";
inline constexpr const char* kExpertsBefore = "experts_before";
inline constexpr const char* kExpertsAfter = "experts_after";
inline constexpr const char* kWhat = "what";
inline constexpr const char* kCause = "cause";  // kAlarm for experts that moe.alarm restarted
inline constexpr const char* kWhy = "why";
inline constexpr const char* kPreserved = "preserved";
inline constexpr const char* kLossBefore = "loss_before";
inline constexpr const char* kLossAfter = "loss_after";

// Records of kPlacement.
inline constexpr const char* kLayers = "layers";
inline constexpr const char* kMoved = "moved";                   // experts that changed their rank
inline constexpr const char* kCopies = "copies";                 // of experts on other ranks, afterwards
inline constexpr const char* kBusiestBefore = "busiest_before";  // rows of the busiest rank, relative to the mean
inline constexpr const char* kBusiestAfter = "busiest_after";
// Share of the pairs of chosen experts that are on one rank; only where they are counted.
inline constexpr const char* kTogetherBefore = "together_before";
inline constexpr const char* kTogetherAfter = "together_after";

// Records of kCommunication and kTimeline. Seconds of a row are those of a rank: mean over the ranks, and the largest.
inline constexpr const char* kRanks = "ranks";
inline constexpr const char* kHosts = "hosts";
inline constexpr const char* kSeconds = "seconds";  // of the step
inline constexpr const char* kLost = "lost";        // share of the step that communication made it longer
inline constexpr const char* kRows = "rows";
inline constexpr const char* kBytesInside = "bytes_inside";
inline constexpr const char* kBytesBetween = "bytes_between";
inline constexpr const char* kMessagesInside = "messages_inside";
inline constexpr const char* kMessagesBetween = "messages_between";
inline constexpr const char* kTransfer = "transfer";
inline constexpr const char* kTransferMax = "transfer_max";
inline constexpr const char* kWaiting = "waiting";
inline constexpr const char* kWaitingMax = "waiting_max";
inline constexpr const char* kHidden = "hidden";
inline constexpr const char* kHiddenMax = "hidden_max";
inline constexpr const char* kRank = "rank";
inline constexpr const char* kPhases = "phases";
inline constexpr const char* kEvents = "events";
inline constexpr const char* kName = "name";
inline constexpr const char* kBegin = "begin";
inline constexpr const char* kEnd = "end";

}  // namespace moe::metric_keys

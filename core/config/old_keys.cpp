#include "core/config/old_keys.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/base/log.h"

namespace moe {

struct OldKey {
  const char *group, *old_name, *name;
};
static constexpr OldKey kOldKeys[] = {
    {"moe", "life", "lifecycle"},
};

static void give_notice(const std::string& origin, const OldKey& key) {
  log::info("{}: {}.{} is now called {}.{}; the old name is still read", origin, key.group, key.old_name, key.group,
            key.name);
}

void rename_old_keys(ConfigNode& root) {
  for (const OldKey& key : kOldKeys) {
    ConfigNode* group = root.find(key.group);
    if (!group) continue;
    const auto old = std::find_if(group->entries.begin(), group->entries.end(),
                                  [&](const auto& entry) { return entry.first == key.old_name; });
    if (old == group->entries.end()) continue;
    if (group->find(key.name)) {
      raise<UsageError>("{}: {}.{} is the old name of {}.{}, which is given too; remove one of them",
                        old->second.origin, key.group, key.old_name, key.group, key.name);
    }
    // Configurations that runs have stored name every key. The default is not worth a notice.
    if (old->second.kind != ConfigNode::Kind::list || !old->second.items.empty()) give_notice(old->second.origin, key);
    old->first = key.name;
  }
}

std::string present_key(const std::string& key, const std::string& origin) {
  for (const OldKey& renamed : kOldKeys) {
    const std::string old = fmt::format("{}.{}", renamed.group, renamed.old_name);
    if (key != old && key.rfind(old + ".", 0) != 0) continue;
    give_notice(origin, renamed);
    return fmt::format("{}.{}", renamed.group, renamed.name) + key.substr(old.size());
  }
  return key;
}

}  // namespace moe

// Includes Catch2 2.13 (Debian 12) or 3.x.
#pragma once
#ifdef MOE_CATCH2_V3
#include <catch2/catch_all.hpp>
using Catch::Approx;
namespace Catch {
inline auto Contains(const std::string& part) {
  return Matchers::ContainsSubstring(part);
}
using Matchers::StartsWith;
}  // namespace Catch
#else
#include <catch2/catch.hpp>
#endif

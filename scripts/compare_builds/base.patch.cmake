
# Appended by scripts/compare_builds: the programs for the emulated device.

foreach(program moe_train moe_eval)
  string(REPLACE "_" "-" emulated_program ${program})
  add_executable(${emulated_program}-emulated ${PROJECT_SOURCE_DIR}/apps/${program}.cpp ${emulated_objects})
  target_link_libraries(${emulated_program}-emulated PRIVATE moe_core)
endforeach()


# CMake toolchain file: builds for aarch64 (Arm servers, the hosts of Grace) with Debian's cross compiler against the
# system in MOE_SYSROOT, and runs the programs with qemu. scripts/check_aarch64 creates that system and uses this file.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
if(NOT MOE_SYSROOT)
  set(MOE_SYSROOT $ENV{MOE_SYSROOT})
endif()
set(CMAKE_TRY_COMPILE_PLATFORM_VARIABLES MOE_SYSROOT)
set(CMAKE_SYSROOT ${MOE_SYSROOT})
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64-static -L ${MOE_SYSROOT})
# Libraries that are needed only by other libraries.
set(CMAKE_EXE_LINKER_FLAGS_INIT -Wl,-rpath-link,${MOE_SYSROOT}/usr/lib/aarch64-linux-gnu)

# The other system's mpicc cannot run here, so the values that it would print are set explicitly.
set(MPI_C_COMPILER aarch64-linux-gnu-gcc)
set(MPI_C_HEADER_DIR ${MOE_SYSROOT}/usr/lib/aarch64-linux-gnu/openmpi/include)
set(MPI_C_LIB_NAMES mpi)
set(MPI_mpi_LIBRARY ${MOE_SYSROOT}/usr/lib/aarch64-linux-gnu/openmpi/lib/libmpi.so)

# Sourced, with $root the folder that this file lies in a folder of: where Open MPI finds its parts, and what it wants to hear
# before it runs as root and with more ranks than cores.
export OPAL_PREFIX="$root" OPAL_BINDIR="$root/bin" OPAL_LIBDIR="$root/lib" OPAL_PKGLIBDIR="$root/lib/openmpi" \
  OPAL_DATADIR="$root/share" OPAL_PKGDATADIR="$root/share/openmpi" OPAL_SYSCONFDIR="$root/share/openmpi" \
  PMIX_PREFIX="$root" PMIX_LIBDIR="$root/lib" PMIX_PKGLIBDIR="$root/lib/pmix" PMIX_PKGDATADIR="$root/share/openmpi"
export HWLOC_PLUGINS_PATH="$root/lib/hwloc"  # none: not those of the machine, for another hwloc
export OMPI_MCA_plm=isolated  # no other machine: there need be no ssh
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1

// Package mpi joins the processes that a launcher of MPI started: mpirun,
// mpiexec or srun. The library is opened at run time, and only within such a
// job: Open MPI 4 and 5, MPICH and what descends from it, and any library of
// the standard's own ABI (MPI 5.0, chapter 20).
//
// It owns the finding of a job and of its library, one thread that makes all
// calls, and the end of a job, by agreement or by abort. It refuses a library
// that it does not know, and a launcher that the library does not answer to.
//
// Terms. A job is the processes that were started together, a rank the number
// of one of them, from 0.
package mpi
